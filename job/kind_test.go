package job_test

import (
	"bytes"
	"errors"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errandq/errand/codec"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/topology"
	"github.com/google/uuid"
)

type order struct {
	ID string `json:"id"`
}

func TestNewWithoutOptions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(1500 * time.Millisecond)
		j := job.Define[order]("ship").New(order{ID: "42"})
		if err := j.Err(); err != nil {
			t.Fatal(err)
		}
		if j.Kind != "ship" || j.Queue != job.DefaultQueue || string(j.Body) != `{"id":"42"}` || j.ContentType != "application/json" {
			t.Errorf("got %+v, want kind ship on the default queue, with a JSON body", j)
		}
		if j.Attempt != 1 || j.Priority != 0 || j.Headers != nil || j.Failure != nil || !j.NotBefore.IsZero() || !j.ExpiresAt.IsZero() {
			t.Errorf("got %+v, want the first attempt and nothing else", j)
		}
		if want := time.Now().Truncate(time.Second); !j.CreatedAt.Equal(want) {
			t.Errorf("created at %v, want %v", j.CreatedAt, want)
		}
		if id, err := uuid.Parse(j.ID); err != nil || id.Version() != 7 {
			t.Errorf("ID is %q, want a UUID of version 7", j.ID)
		}
	})
}

func TestNewIDsAreUniqueAndInOrder(t *testing.T) {
	t.Parallel()
	last := ""
	for range 10_000 {
		id := job.NewID()
		if id <= last {
			t.Fatalf("%s comes after %s", id, last)
		}
		last = id
	}
}

func TestOptionsOfNewOverrideThoseOfTheKind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kind := job.Define[order]("ship", job.Queue("slow"), job.Delay(time.Hour), job.ExpireIn(3*time.Hour),
			job.Priority(1), job.Header("a", 1), job.Header("b", 1), job.ID("fixed"))
		j := kind.New(order{})
		now := time.Now()
		if j.Queue != "slow" || j.Priority != 1 || j.ID != "fixed" || !j.NotBefore.Equal(now.Add(time.Hour)) || !j.ExpiresAt.Equal(now.Add(3*time.Hour)) {
			t.Errorf("got %+v, want the kind's own", j)
		}
		j = kind.New(order{}, job.Queue("fast"), job.Delay(time.Minute), job.ExpireIn(2*time.Minute),
			job.Priority(2), job.Header("b", 2), job.Header("c", 2), job.ID("other"))
		if j.Queue != "fast" || j.Priority != 2 || j.ID != "other" || !j.NotBefore.Equal(now.Add(time.Minute)) || !j.ExpiresAt.Equal(now.Add(2*time.Minute)) {
			t.Errorf("got %+v, want what New says", j)
		}
		if want := map[string]any{"a": 1, "b": 2, "c": 2}; !maps.Equal(j.Headers, want) {
			t.Errorf("headers are %v, want %v", j.Headers, want)
		}
		if err := j.Err(); err != nil {
			t.Error(err)
		}
	})
}

func TestDelayAndAtOverrideEachOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		noon := time.Now().Add(12 * time.Hour)
		tests := []struct {
			name string
			opts []job.Option
			want time.Time
		}{
			{"delay", []job.Option{job.Delay(time.Hour)}, time.Now().Add(time.Hour)},
			{"no delay", []job.Option{job.Delay(0)}, time.Time{}},
			{"at", []job.Option{job.At(noon.Add(1))}, noon},
			{"at a time in the past", []job.Option{job.At(time.Now().Add(-time.Hour))}, time.Time{}},
			{"at a time before 1970", []job.Option{job.At(time.Date(1905, 1, 1, 0, 0, 0, 0, time.UTC))}, time.Time{}},
			{"at no time", []job.Option{job.At(time.Time{})}, time.Time{}},
			{"delay after at", []job.Option{job.At(noon), job.Delay(time.Hour)}, time.Now().Add(time.Hour)},
			{"no delay after at", []job.Option{job.At(noon), job.Delay(0)}, time.Time{}},
			{"at after delay", []job.Option{job.Delay(time.Hour), job.At(noon)}, noon},
		}
		for _, test := range tests {
			j := job.Define[order]("ship").New(order{}, test.opts...)
			if err := j.Err(); err != nil || !j.NotBefore.Equal(test.want) {
				t.Errorf("%s: not before %v (%v), want %v", test.name, j.NotBefore, err, test.want)
			}
			if _, err := job.Parse(j.Message()); err != nil {
				t.Errorf("%s: its message is malformed: %v", test.name, err)
			}
		}
	})
}

func TestHeadersAreNotSharedBetweenJobs(t *testing.T) {
	t.Parallel()
	kind := job.Define[order]("ship", job.Header("tenant", "blue"))
	first := kind.New(order{}, job.Header("tenant", "red"))
	second := kind.New(order{})
	second.Headers["tenant"] = "green"
	if third := kind.New(order{}); third.Headers["tenant"] != "blue" || first.Headers["tenant"] != "red" {
		t.Errorf("got %v and %v, want each job's own headers", first.Headers, third.Headers)
	}
}

func TestMistakesInDefineAndNew(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 256)
	tests := []struct {
		name string
		kind string
		opt  job.Option
		want string // the rule that the error names
	}{
		{"empty kind", "", nil, "kind's name is empty"},
		{"long kind", long, nil, "at most 255"},
		{"control character in kind", "a\nb", nil, "control characters"},
		{"empty queue", "ship", job.Queue(""), "queue's name is empty"},
		{"long queue", "ship", job.Queue(long[:181]), "at most 180"},
		{"queue of RabbitMQ", "ship", job.Queue("amq.x"), "reserved"},
		{"queue of errand", "ship", job.Queue("errand.x"), "reserved"},
		{"star in queue", "ship", job.Queue("a*"), "* and #"},
		{"hash in queue", "ship", job.Queue("#"), "* and #"},
		{"control character in queue", "ship", job.Queue("a\x00"), "control characters"},
		{"negative delay", "ship", job.Delay(-1), "negative"},
		{"time that the wire can't carry", "ship", job.At(time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)), "year 9999"},
		{"no expiry", "ship", job.ExpireIn(0), "not positive"},
		{"negative expiry", "ship", job.ExpireIn(-time.Second), "not positive"},
		{"empty ID", "ship", job.ID(""), "1 to 255"},
		{"long ID", "ship", job.ID(long), "1 to 255"},
		{"reserved header", "ship", job.Header("errand-attempt", 7), "reserved"},
		{"header of RabbitMQ", "ship", job.Header("x-death", 7), "reserved"},
		{"header that RabbitMQ routes by", "ship", job.Header("CC", []any{"q"}), "reserved"},
		{"another header of RabbitMQ", "ship", job.Header("x-first-death-queue", "q"), "reserved"},
		{"nil codec", "ship", job.Codec(nil), "codec is nil"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var opts []job.Option
			if test.opt != nil {
				opts = append(opts, test.opt)
			}
			kind := job.Define[order](test.kind, opts...)
			for where, err := range map[string]error{
				"Define":         kind.Err(),
				"New of it":      kind.New(order{}).Err(),
				"option for New": job.Define[order](test.kind).New(order{}, opts...).Err(),
			} {
				if !errors.Is(err, job.ErrInvalid) || !strings.Contains(err.Error(), test.want) || len(err.Error()) > 500 {
					t.Errorf("%s: got %v, want ErrInvalid with %q", where, err, test.want)
				}
			}
		})
	}
}

func TestMistakesInNew(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		job  job.Job
		want string
	}{
		{"arguments that do not encode", job.Define[chan int]("ship").New(nil), "chan int"},
		{"expiry before the delay", job.Define[order]("ship").New(order{}, job.Delay(time.Hour), job.ExpireIn(time.Minute)), "expires before"},
		{"expiry at the end of the delay", job.Define[order]("ship").New(order{}, job.Delay(time.Hour), job.ExpireIn(time.Hour)), "expires before"},
		{"zero kind", job.Kind[order]{}.New(order{}), "job.Define"},
		{"several mistakes: the first counts", job.Define[chan int]("", job.Delay(-1)).New(nil), "name is empty"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if err := test.job.Err(); !errors.Is(err, job.ErrInvalid) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want ErrInvalid with %q", err, test.want)
			}
		})
	}
	if err := job.Define[order]("ship", job.Queue("")).Err(); !errors.Is(err, topology.ErrName) {
		t.Errorf("got %v, want it to wrap topology.ErrName", err)
	}
}

func TestCodecOfTheKind(t *testing.T) {
	t.Parallel()
	kind := job.Define[[]byte]("raw", job.Codec(codec.Bytes))
	j := kind.New([]byte{0, 1, 2})
	if !bytes.Equal(j.Body, []byte{0, 1, 2}) || j.ContentType != codec.Bytes.ContentType() {
		t.Errorf("got body %v of type %s, want the bytes", j.Body, j.ContentType)
	}
	got, err := kind.Decode(j)
	if err != nil || !bytes.Equal(got, j.Body) {
		t.Errorf("Decode: got %v, %v, want the bytes", got, err)
	}
	if j := kind.New([]byte{0}, job.Codec(codec.JSON)); j.ContentType != codec.Bytes.ContentType() {
		t.Errorf("a codec in New gives type %s, want it to have no meaning", j.ContentType)
	}
}

func TestDecode(t *testing.T) {
	t.Parallel()
	kind := job.Define[order]("ship")
	got, err := kind.Decode(kind.New(order{ID: "42"}))
	if err != nil || got.ID != "42" {
		t.Errorf("got %+v, %v, want 42", got, err)
	}
	if _, err := kind.Decode(job.Job{Body: []byte("{")}); err == nil {
		t.Error("a broken body decodes")
	}
	if _, err := kind.Decode(job.Job{ContentType: "text/plain"}); !errors.Is(err, codec.ErrContentType) {
		t.Errorf("another content type: got %v, want ErrContentType", err)
	}
	if _, err := (job.Kind[order]{}).Decode(job.Job{}); !errors.Is(err, job.ErrInvalid) {
		t.Errorf("zero kind: got %v, want ErrInvalid", err)
	}
}

func TestKindTellsWhatItWasDefinedWith(t *testing.T) {
	t.Parallel()
	kind := job.Define[order]("ship", job.Queue("q", topology.Existing()))
	if kind.Name() != "ship" || kind.Queue() != "q" || !topology.IsExisting(kind.QueueOptions()...) || kind.Err() != nil {
		t.Errorf("got %q, %q, %v", kind.Name(), kind.Queue(), kind.Err())
	}
	if err := (job.Kind[order]{}).Err(); !errors.Is(err, job.ErrInvalid) {
		t.Errorf("zero kind: got %v, want ErrInvalid", err)
	}
}

func TestExpired(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	j := job.Job{ExpiresAt: at}
	if j.Expired(at.Add(-1)) || !j.Expired(at) || !j.Expired(at.Add(1)) {
		t.Errorf("a job that expires at %v is not expired from exactly then on", at)
	}
	if (job.Job{}).Expired(at) {
		t.Error("a job without an expiry is expired")
	}
}
