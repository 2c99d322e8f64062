package limiter_test

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-a7c21902/andon/pkg/limiter"
	"github.com/seed-a7c21902/andon/pkg/stop"
)

func Example() {
	l, err := limiter.New(limiter.Config{Rate: 20}, prometheus.NewRegistry(), slog.Default())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Close()

	q := stop.Quota{Account: "default", Endpoint: "https://as.intl.tencentcloudapi.com"}
	release, err := l.Acquire(context.Background(), stop.ActionStop, q, stop.LaneUrgent)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer release()
	fmt.Println("one call may be made now")
	// Output: one call may be made now
}
