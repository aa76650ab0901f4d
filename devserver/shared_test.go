package devserver

import (
	"errors"
	"flag"
	"runtime"
	"testing"
)

// outcome records how a test ends.
type outcome struct {
	testing.TB
	skipped, failed bool
}

func (o *outcome) Helper()               {}
func (o *outcome) Skipf(string, ...any)  { o.skipped = true; runtime.Goexit() }
func (o *outcome) Fatalf(string, ...any) { o.failed = true; runtime.Goexit() }

func TestSharedWithoutServer(t *testing.T) {
	none := &Shared{start: func() (*Server, error) { return nil, ErrUnavailable }}
	was := testing.Short()
	t.Cleanup(func() { setShort(t, was) })
	for _, short := range []bool{true, false} {
		setShort(t, short)
		got := &outcome{TB: t}
		done := make(chan struct{})
		go func() {
			defer close(done)
			none.Server(got)
		}()
		<-done
		if got.skipped != short || got.failed == short {
			t.Errorf("short %t: got skipped %t, failed %t", short, got.skipped, got.failed)
		}
	}
}

func setShort(t *testing.T, short bool) {
	t.Helper()
	value := map[bool]string{true: "true", false: "false"}[short]
	if err := flag.Set("test.short", value); err != nil {
		t.Fatal(err)
	}
}

type tests func() int

func (f tests) Run() int { return f() }

func TestSharedMain(t *testing.T) {
	t.Parallel()
	broken := &Shared{stop: func() error { return errors.New("made up: it does not stop") }}
	for _, test := range []struct {
		name   string
		shared *Shared
		code   int
		want   int
	}{
		{"never started", NewShared(Options{}), 0, 0},
		{"failed tests", NewShared(Options{}), 2, 2},
		{"does not stop", broken, 0, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := test.shared.Main(tests(func() int { return test.code })); got != test.want {
				t.Errorf("got exit code %d, want %d", got, test.want)
			}
		})
	}
}
