package job_test

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/topology"
)

var publishVideo = job.Define[order]("video.publish", job.Queue("videos"))

// members are n jobs that IDs tell apart.
func members(n int) (ms []job.Job) {
	for range n {
		ms = append(ms, ship.New(order{}))
	}
	return ms
}

func TestGroupOfJobs(t *testing.T) {
	t.Parallel()
	then, ms := publishVideo.New(order{ID: "42"}), members(3)
	grouped := job.Group(then, ms...)
	if len(grouped) != 3 {
		t.Fatalf("got %d jobs, want 3", len(grouped))
	}
	for i, j := range grouped {
		if j.Err() != nil || j.ID != ms[i].ID || j.Queue != "orders" || j.Group == nil {
			t.Fatalf("got %+v, want member %d as it was, in a group", j, i)
		}
		if j.Group.ID != then.ID || j.Group.Size != 3 || !reflect.DeepEqual(j.Group.Then, then) {
			t.Errorf("got group %+v, want three jobs before %+v", j.Group, then)
		}
		if ms[i].Group != nil {
			t.Error("the caller's job was changed")
		}
	}
}

func TestMistakesInGroups(t *testing.T) {
	t.Parallel()
	then := publishVideo.New(order{})
	twin := ship.New(order{}, job.ID("twin"))
	large := job.Define[[]byte]("large", job.Queue("videos"))
	late := job.Delay(time.Hour)
	bad := ship.New(order{}, job.ID(""))
	tests := []struct {
		name string
		jobs []job.Job
		want string
	}{
		{"no members", job.Group(then), "it follows a group without members"},
		{"no members and a bad job", job.Group(bad), "an ID of 0 bytes"},
		{"a bad member", job.Group(then, ship.New(order{}), bad), "an ID of 0 bytes"},
		{"a bad job that follows", job.Group(publishVideo.New(order{}, job.Queue("#")), members(2)...), "* and # are not allowed"},
		{"a zero job that follows", job.Group(job.Job{}, members(2)...), "no kind, queue or ID"},
		{"a zero member", job.Group(then, ship.New(order{}), job.Job{}), "no kind, queue or ID"},
		{"an event follows", job.Group(placed.New(order{}), members(2)...), "an event can't follow a group"},
		{"an event is a member", job.Group(then, ship.New(order{}), placed.New(order{})), "an event can't be a member"},
		{"two of one ID", job.Group(then, twin, ship.New(order{}), twin), "two members of a group have the ID twin"},
		{"a member that may expire", job.Group(then, publishVideo.New(order{}, job.ExpireIn(time.Hour))), "can't expire"},
		{"a member of another group", job.Group(then, job.Group(publishVideo.New(order{}), members(2)...)...), "it is a member of another group"},
		{"large arguments", job.Group(large.New(make([]byte, 25<<10)), members(2)...), "what follows a group may have 32768"},
		{"delayed where nothing can be", job.Group(theirs.New(order{}, late), members(2)...), "can't be delayed there"},
	}
	for _, test := range tests {
		r := &recorder{}
		err := job.NewSender(r, "").Send(t.Context(), test.jobs...)
		if !errors.Is(err, job.ErrInvalid) || !strings.Contains(err.Error(), test.want) || len(r.published) > 0 {
			t.Errorf("%s: got %v and %d calls of Publish, want ErrInvalid with %q and none", test.name, err, len(r.published), test.want)
		}
	}
	for name, jobs := range map[string][]job.Job{
		"delayed":             job.Group(publishVideo.New(order{}, late), members(1)...),
		"delayed with ladder": job.Group(adopted.New(order{}, late), members(1)...),
		"just as large":       job.Group(large.New(make([]byte, 24<<10-6)), members(1)...), // base64 and quotes make 32 KiB of it
		"group before group":  job.Group(job.Group(then, members(1)...)[0], members(1)...),
	} {
		if err := job.NewSender(&recorder{}, "").Send(t.Context(), jobs...); err != nil {
			t.Errorf("%s: got %v, want no error", name, err)
		}
	}
}

// What the members carry comes to the job that follows as it was enqueued, with what it needs
// to be enqueued by somebody who does not know its kind.
func TestGroupOverTheWire(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // in which a delay stays as long as it is
		late := job.Delay(time.Hour)
		tests := []struct {
			name string
			then job.Job
		}{
			{"plain", publishVideo.New(order{ID: "42"})},
			{"full", publishVideo.New(order{ID: "42"}, job.ID("mine"), job.Priority(7), job.Header("tenant", "acme"), late, job.ExpireIn(2*time.Hour))},
			{"existing queue", theirs.New(order{ID: "42"})},
			{"existing queue with retries", adopted.New(order{ID: "42"}, late)},
			{"itself in a group", job.Group(theirs.New(order{}), publishVideo.New(order{ID: "42"}))[0]},
			{"no body", job.Define[[]byte]("raw", job.Queue("raw")).New(nil)},
		}
		for _, test := range tests {
			j := job.Group(test.then, members(2)...)[1]
			j.Attempt = 4 // members that are tried again stay in the group
			got, err := job.Parse(j.Message())
			if err != nil || got.Group == nil || got.Group.ID != test.then.ID || got.Group.Size != 2 || len(got.Headers) > 0 {
				t.Fatalf("%s: got %+v in group %+v, %v, want it in a group of two", test.name, got, got.Group, err)
			}
			again, err := job.Parse(got.On("orders").Message())
			if err != nil || again.Group == nil {
				t.Fatalf("%s: its own copy parses to %+v, %v", test.name, again, err)
			}
			sameFollower(t, test.name, got.Group.Then, test.then)
			sameFollower(t, test.name, again.Group.Then, test.then)
		}
	})
}

// sameFollower wants that got goes out as want does. When it was made is not carried.
func sameFollower(t *testing.T, name string, got, want job.Job) {
	t.Helper()
	want.CreatedAt = time.Time{}
	var out [2]*recorder
	for i, j := range []job.Job{got, want} {
		out[i] = &recorder{}
		send(t, job.NewSender(out[i], ""), j)
	}
	if g, w := form(out[0].published[0][0]), form(out[1].published[0][0]); g != w {
		t.Errorf("%s: got\n%s\nwant\n%s", name, g, w)
	}
	if g, w := out[0].published[0][0], out[1].published[0][0]; g.Exchange != w.Exchange || g.Key != w.Key {
		t.Errorf("%s: it goes to %q with key %q, want %q with %q", name, g.Exchange, g.Key, w.Exchange, w.Key)
	}
	if g, w := strings.Join(out[0].declared, ""), strings.Join(out[1].declared, ""); g != w {
		t.Errorf("%s: declared\n%s\nwant\n%s", name, g, w)
	}
}

func TestWireFormOfAGroup(t *testing.T) {
	t.Parallel()
	then := publishVideo.New(order{ID: "42"}, job.ID("019b7c8e-0000-7000-8000-000000000001"), job.Priority(7), job.Header("tenant", "blue"))
	existing := adopted.New(order{ID: "42"}, job.ID("019b7c8e-0000-7000-8000-000000000001"))
	for name, then := range map[string]job.Job{"member": then, "before-an-existing-queue": existing} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := job.Group(then, ship.New(order{ID: "7"}, job.ID("019b7c8e-0000-7000-8000-000000000002")), ship.New(order{}))[0]
			j.CreatedAt = time.Unix(1767323045, 0)
			m := j.Message()
			table := m.Headers["errand-group-then"].(map[string]any)
			delete(m.Headers, "errand-group-then")
			text := form(m)
			for _, line := range strings.Split(strings.TrimSpace(form(broker.Message{Headers: table})), "\n") {
				if rest, ok := strings.CutPrefix(line, "header        "); ok {
					text += "then          " + rest + "\n"
				}
			}
			golden(t, text)
		})
	}
}

// groupHeaders are those of a member, changed by change.
func groupHeaders(change func(h, then map[string]any)) map[string]any {
	h := job.Group(publishVideo.New(order{ID: "42"}, job.ID("g")), ship.New(order{}))[0].Message().Headers
	change(h, h["errand-group-then"].(map[string]any))
	return h
}

func TestHostileGroups(t *testing.T) {
	t.Parallel()
	set := func(name string, value any) map[string]any {
		return groupHeaders(func(h, then map[string]any) {
			if inside, ok := strings.CutPrefix(name, "then."); ok {
				then[inside] = value
				return
			}
			h[name] = value
		})
	}
	const noGroup = "do not make a group"
	tests := []struct {
		name  string
		value any
		want  string
	}{
		{"errand-group", "", noGroup},
		{"errand-group", int64(1), "errand-group is a int64"},
		{"errand-group", "another", `want that of the group, "another"`},
		{"errand-group-size", int64(0), noGroup},
		{"errand-group-size", int64(-1), noGroup},
		{"errand-group-size", int64(1) << 62, noGroup},
		{"errand-group-size", "two", "errand-group-size is a string"},
		{"errand-group-size", nil, noGroup},
		{"errand-group-then", nil, noGroup},
		{"errand-group-then", "then", noGroup},
		{"errand-group-then", map[string]any{}, "errand-group-then: "},
		{"then.type", "", "no type"},
		{"then.type", int64(7), "type is a int64"},
		{"then.id", "", "want that of the group"},
		{"then.id", true, "id is a bool"},
		{"then.queue", "", "a queue's name is empty"},
		{"then.queue", "errand.jobs", "reserved"},
		{"then.queue", strings.Repeat("q", 200), "200 bytes"},
		{"then.queue", []any{"q"}, "queue is a []interface"},
		{"then.body", int64(1), "body is a int64"},
		{"then.priority", "high", "priority is a string"},
		{"then.headers", map[string]any{"errand-attempt": "x"}, "errand-attempt"},
		{"then.headers", map[string]any{"errand-group": "inner"}, noGroup},
	}
	for _, test := range tests {
		j, err := job.Parse(broker.Message{ID: "j", Type: "ship", Headers: set(test.name, test.value), Body: []byte("body")})
		if !errors.Is(err, job.ErrMalformed) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s %.40v: got %v, want ErrMalformed with %q", test.name, test.value, err, test.want)
		}
		if j.Group != nil || j.ID != "j" || string(j.Body) != "body" {
			t.Errorf("%s %.40v: got %+v, want what could be read and no group", test.name, test.value, j)
		}
	}
}

// Clients of other languages have other types for texts and numbers.
func TestGroupsOfOtherLanguages(t *testing.T) {
	t.Parallel()
	h := groupHeaders(func(h, then map[string]any) {
		h["errand-group"], h["errand-group-size"] = []byte("g"), int32(5)
		then["body"], then["type"], then["priority"] = `{"id":"42"}`, []byte("video.publish"), uint8(255)
		for _, name := range []string{"existing", "retries", "content-type"} {
			delete(then, name)
		}
	})
	j, err := job.Parse(broker.Message{Type: "ship", Headers: h})
	if err != nil || j.Group == nil {
		t.Fatalf("got %+v, %v, want a group", j, err)
	}
	then := j.Group.Then
	if j.Group.Size != 5 || then.Kind != "video.publish" || string(then.Body) != `{"id":"42"}` || then.Priority != 255 || then.Queue != "videos" {
		t.Errorf("got group %+v, want it as it was sent", j.Group)
	}
}

// Groups within groups, as deep as a frame has room for, end the parsing and nothing else.
func TestNestedGroups(t *testing.T) {
	t.Parallel()
	h := map[string]any{}
	for range 3000 {
		h = map[string]any{"errand-group": "g", "errand-group-size": int64(1),
			"errand-group-then": map[string]any{"id": "g", "type": "t", "queue": "q", "headers": h}}
	}
	j, err := job.Parse(broker.Message{Type: "ship", Headers: h})
	if err != nil && !errors.Is(err, job.ErrMalformed) {
		t.Errorf("got %v, want nil or ErrMalformed", err)
	}
	depth := 0
	for g := j.Group; g != nil; g = g.Then.Group {
		depth++
	}
	if depth != 3000 && err == nil {
		t.Errorf("got groups to a depth of %d, want 3000 or an error", depth)
	}
}

// FuzzParseGroup: whatever a message says of its group, Parse does not panic, and a group that
// it accepts can be sent on and comes back the same.
func FuzzParseGroup(f *testing.F) {
	f.Add("g", int64(3), "g", "video.publish", []byte(`{}`), "videos", int64(0), uint8(0), "tenant", "acme")
	f.Add("g", int64(1), "g", "t", []byte{}, "q", int64(-1), uint8(255), "errand-group", "inner")
	f.Add("", int64(0), "", "", []byte(nil), "", int64(1<<40), uint8(1), "", "")
	f.Add("g", int64(1<<40), "other", "\x00", []byte("\xff"), "errand.jobs", int64(9), uint8(2), "errand-exchange", "x")
	f.Add("g", int64(2), "g", "t", []byte("x"), "q", int64(4), uint8(60), "x-death", "\xff")
	f.Fuzz(func(t *testing.T, group string, size int64, id, kind string, body []byte, queue string, priority int64, types uint8, name, value string) {
		then := map[string]any{"id": id, "type": kind, "body": body, "queue": queue, "priority": disguise(priority, types),
			"existing": types&4 == 0, "retries": types&8 == 0, "headers": map[string]any{name: value}}
		if types&16 != 0 {
			then[name] = value
		}
		h := map[string]any{"errand-group": group, "errand-group-size": disguise(size, types>>2), "errand-group-then": then}
		before := maps.Clone(then)
		j, err := job.Parse(broker.Message{Type: "ship", ID: "j", Headers: h})
		if err != nil && !errors.Is(err, job.ErrMalformed) {
			t.Errorf("error %v does not wrap ErrMalformed", err)
		}
		if fmt.Sprint(then) != fmt.Sprint(before) {
			t.Errorf("Parse changed what it was given to %v, from %v", then, before)
		}
		if (err == nil) != (j.Group != nil) {
			t.Fatalf("got group %+v with error %v", j.Group, err)
		}
		if err != nil {
			return
		}
		if g := j.Group; g.ID == "" || g.ID != g.Then.ID || g.Size < 1 || g.Then.Kind == "" || topology.CheckQueue(g.Then.Queue) != nil {
			t.Errorf("got group %+v, want one that can be counted and followed", g)
		}
		checkSane(t, j.Group.Then)
		again, err := job.Parse(j.On("q").Message())
		if err != nil || again.Group == nil {
			t.Fatalf("its own copy parses to %+v, %v", again, err)
		}
		if got, want := form(again.On("q").Message()), form(j.On("q").Message()); got != want {
			t.Errorf("its own copy is\n%s\nwant\n%s", got, want)
		}
	})
}
