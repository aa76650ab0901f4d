package rpc_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/errandq/errand/codec"
	"github.com/errandq/errand/rpc"
	"github.com/errandq/errand/topology"
)

func TestBadDefinitions(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		method rpc.Method[args, result]
		say    string
	}{
		{"zero", rpc.Method[args, result]{}, "rpc.Define"},
		{"no name", rpc.Define[args, result](""), "empty"},
		{"no name but a queue", rpc.Define[args, result]("", rpc.Queue("q")), "empty"},
		{"long name", rpc.Define[args, result](strings.Repeat("x", 256), rpc.Queue("q")), "256 bytes"},
		{"name that is long for a queue", rpc.Define[args, result](strings.Repeat("x", 181)), "181 bytes"},
		{"control character", rpc.Define[args, result]("a\nb", rpc.Queue("q")), "control"},
		{"empty queue", rpc.Define[args, result]("a", rpc.Queue("")), "empty"},
		{"reserved queue", rpc.Define[args, result]("amq.gen-1"), "reserved"},
		{"queue that looks like one for replies", rpc.Define[args, result]("a", rpc.Queue("errand.reply.a")), "reserved"},
		{"nil codec", rpc.Define[args, result]("a", rpc.Codec(nil)), "codec"},
		{"no time", rpc.Define[args, result]("a", rpc.Timeout(0)), "timeout"},
		{"negative time", rpc.Define[args, result]("a", rpc.Timeout(-time.Second)), "timeout"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newFake()
				c := newClient(t, f.conn(), rpc.ClientConfig{})
				s := rpc.NewServer(f.conn(), rpc.ServerConfig{Logger: quiet})
				rpc.Handle(s, render, text("a")) // a good one does not help
				rpc.Handle(s, test.method, text("a"))
				_, call := test.method.Call(t.Context(), c, args{})
				for where, err := range map[string]error{"Call": call, "Run": s.Run(t.Context())} {
					wantErr(t, err, rpc.ErrInvalid)
					if err != nil && !strings.Contains(err.Error(), test.say) {
						t.Errorf("%s: got %q, want it to say %q", where, err, test.say)
					}
				}
				if got := f.sent(); len(got) > 0 {
					t.Errorf("sent %+v, want nothing", got)
				}
			})
		})
	}
}

func TestLongestNames(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		c := newClient(t, f.conn(), rpc.ClientConfig{})
		for _, m := range []rpc.Method[args, result]{
			rpc.Define[args, result](strings.Repeat("m", 255), rpc.Queue(strings.Repeat("q", 180))),
			rpc.Define[args, result]("déjà vu"),
			rpc.Define[args, result]("a", rpc.Timeout(1)),
		} {
			f := newFake()
			serve(t, f, m, text("a"))
			if m.Name() == "a" { // no time at all
				_, err := m.Call(t.Context(), c, args{})
				if err == nil {
					t.Error("a call within a nanosecond succeeded")
				}
				continue
			}
			wantCall(t, newClient(t, f.conn(), rpc.ClientConfig{}), m, "a")
		}
	})
}

func TestCodecs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		upper := rpc.Define[string, string]("upper", rpc.Codec(codec.Bytes))
		chunks := rpc.DefineStream[string, string]("chunks", rpc.Codec(codec.Bytes))
		f := newFake()
		s := rpc.NewServer(f.conn(), rpc.ServerConfig{Logger: quiet})
		rpc.Handle(s, upper, func(_ context.Context, text string) (string, error) { return strings.ToUpper(text), nil })
		rpc.HandleStream(s, chunks, func(_ context.Context, text string, send func(string) error) error {
			for _, r := range text {
				if err := send(string(r)); err != nil {
					return err
				}
			}
			return nil
		})
		start(t, s)
		c := newClient(t, f.conn(), rpc.ClientConfig{})
		if got, err := upper.Call(t.Context(), c, "\xffa€"); err != nil || got != strings.ToUpper("\xffa€") {
			t.Errorf("got %q, %v, want it in capitals", got, err)
		}
		got := ""
		for item, err := range chunks.Call(t.Context(), c, "a€b") {
			wantErr(t, err, nil)
			got += item
		}
		if got != "a€b" {
			t.Errorf("got %q, want a€b", got)
		}
	})
}

func TestNames(t *testing.T) {
	t.Parallel()
	if render.Name() != "pdf.render" || pages.Name() != "pdf.pages" {
		t.Errorf("names are %q and %q, want as defined", render.Name(), pages.Name())
	}
	if got := (rpc.Method[args, result]{}).Name() + (rpc.Stream[args, int]{}).Name(); got != "" {
		t.Errorf("the zero values' names are %q, want none", got)
	}
}

func TestHandlersThatAreMistakesPanic(t *testing.T) {
	t.Parallel()
	twice := rpc.Define[args, result]("twice", rpc.Queue("q"))
	elsewhere := rpc.Define[args, result]("twice", rpc.Queue("other"))
	stream := rpc.DefineStream[args, int]("twice")
	mistakes := map[string]func(s *rpc.Server){
		"nil handler":              func(s *rpc.Server) { rpc.Handle(s, render, nil) },
		"nil stream handler":       func(s *rpc.Server) { rpc.HandleStream(s, pages, nil) },
		"two handlers":             func(s *rpc.Server) { rpc.Handle(s, twice, text("")); rpc.Handle(s, twice, text("")) },
		"two on different queues":  func(s *rpc.Server) { rpc.Handle(s, twice, text("")); rpc.Handle(s, elsewhere, text("")) },
		"a method and a stream":    func(s *rpc.Server) { rpc.Handle(s, twice, text("")); rpc.HandleStream(s, stream, count) },
		"a server without a queue": func(*rpc.Server) { rpc.NewServer(nil, rpc.ServerConfig{}) },
	}
	for name, mistake := range mistakes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				if got, ok := recover().(string); !ok || !strings.HasPrefix(got, "rpc: ") {
					t.Errorf("the panic is %v, want a text of rpc", got)
				}
			}()
			mistake(rpc.NewServer(newFake().conn(), rpc.ServerConfig{Logger: quiet}))
		})
	}
}

func TestQueues(t *testing.T) {
	t.Parallel()
	s := rpc.NewServer(newFake().conn(), rpc.ServerConfig{Logger: quiet})
	if got := s.Queues(); len(got) > 0 {
		t.Errorf("queues are %q before Handle, want none", got)
	}
	rpc.Handle(s, render, text(""))
	rpc.Handle(s, lookup, text(""))
	rpc.Handle(s, rpc.Define[args, result]("other", rpc.Queue("lookup")), text(""))
	if got := strings.Join(s.Queues(), " "); got != "lookup pdf.render" {
		t.Errorf("queues are %q, want each once, sorted", got)
	}
}

func TestHandleAfterRunPanics(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s, _ := serve(t, newFake(), render, text(""))
		defer func() {
			if recover() == nil {
				t.Error("Handle after Run returned, want a panic")
			}
		}()
		rpc.Handle(s, lookup, text(""))
	})
}

func TestRunThatCannotBegin(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := rpc.NewServer(newFake().conn(), rpc.ServerConfig{Logger: quiet})
		if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "no handler") {
			t.Errorf("Run without handlers: %v, want it to say so", err)
		}
		s, _ = serve(t, newFake(), render, text(""))
		if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "twice") {
			t.Errorf("second Run: %v, want it to say so", err)
		}
		s = rpc.NewServer(newFake().conn(), rpc.ServerConfig{Logger: quiet})
		rpc.Handle(s, rpc.Define[args, result]("a", rpc.Queue("q")), text(""))
		rpc.Handle(s, rpc.Define[args, result]("b", rpc.Queue("q", topology.Existing())), text(""))
		err := s.Run(t.Context())
		wantErr(t, err, rpc.ErrInvalid)
		if err != nil && !strings.Contains(err.Error(), "other options") {
			t.Errorf("got %q, want it to say that the queue has other options", err)
		}
	})
}
