//go:build !unix || aix || solaris

package broker

import (
	"errors"
	"os"
)

// flock refuses: without a lock that dies with its process, two brokers could
// destroy each other's files.
func flock(*os.File) (bool, error) {
	return false, errors.New("this system has no flock, so it cannot run the embedded broker: use --nats-url")
}
