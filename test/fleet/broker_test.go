package fleet

import (
	"fmt"
	"testing"

	"github.com/seed-a7c21902/andon/pkg/stop"
	"github.com/seed-a7c21902/andon/test/harness"
)

// broker is one nats-server or a cluster of them, with all that workers need.
type broker struct {
	*harness.Broker

	t testing.TB
}

func newBroker(t testing.TB, size int) *broker { t.Helper(); return newBrokerIn(t, size, "") }

// newBrokerIn has its files in a directory.
func newBrokerIn(t testing.TB, size int, dir string) *broker {
	t.Helper()
	b := &broker{Broker: harness.StartBroker(t, harness.BrokerConfig{Nodes: size, Dir: dir}), t: t}
	b.Prepare()
	return b
}

// permits is the stream below the limiter's bucket.
const permits = "KV_" + stop.BucketLimiter

// leader waits until a node other than the old one leads the limiter's bucket.
func (b *broker) leader(old *harness.Node) *harness.Node {
	b.t.Helper()
	var found *harness.Node
	harness.Eventually(b.t, election, func() error {
		n, err := b.Leader(permits)
		if err != nil {
			return err
		}
		if n == old {
			return fmt.Errorf("%s is still led by %s", permits, n.Name)
		}
		found = n
		return nil
	})
	return found
}

// stepDown has the leader hand over.
func (b *broker) stepDown() {
	b.t.Helper()
	if err := b.StepDown(permits); err != nil {
		b.t.Fatal(err)
	}
}

// bucket makes another bucket like the limiter's.
func (b *broker) bucket(name string) {
	b.t.Helper()
	s, err := b.JS.Stream(b.t.Context(), permits)
	if err != nil {
		b.t.Fatal(err)
	}
	c := s.CachedInfo().Config
	c.Name, c.Subjects = "KV_"+name, []string{"$KV." + name + ".>"}
	if _, err := b.JS.CreateStream(b.t.Context(), c); err != nil {
		b.t.Fatal(err)
	}
}
