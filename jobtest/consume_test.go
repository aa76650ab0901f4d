package jobtest_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/jobtest"
)

// Once Drain is closed nothing more is delivered; with Finish, all that was received is.
func TestDrainAndFinish(t *testing.T) {
	t.Parallel()
	for finish, want := range map[bool]int{false: 1, true: 3} {
		name := map[bool]string{false: "gives back", true: "finishes"}[finish]
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *jobtest.Broker) {
				newQueue(t, b, "q", nil)
				for _, body := range []string{"1", "2", "3", "4"} {
					if err := b.Publish(t.Context(), message("q", body)); err != nil {
						t.Fatal(err)
					}
				}
				drain, release := make(chan struct{}), make(chan struct{})
				ended := make(chan error, 1)
				var got []*broker.Delivery
				go func() {
					s := broker.Subscription{Queue: "q", Prefetch: 3, Drain: drain, Finish: finish}
					ended <- b.Consume(context.Background(), s, func(d *broker.Delivery) {
						got = append(got, d)
						<-release
					})
				}()
				synctest.Wait()
				close(drain)
				close(release)
				synctest.Wait()
				for _, d := range got {
					if err := d.Ack(); err != nil {
						t.Errorf("Ack of %q: %v", d.Body, err)
					}
				}
				if err := <-ended; err != nil {
					t.Errorf("Consume: %v", err)
				}
				if len(got) != want {
					t.Errorf("%d messages were delivered, want %d", len(got), want)
				}
			})
		})
	}
}
