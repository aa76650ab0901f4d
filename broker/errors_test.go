package broker

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// fromServer is an error that the server sent.
func fromServer(code int) error { return &amqp.Error{Code: code, Reason: "said so", Server: true} }

func TestFailures(t *testing.T) {
	t.Parallel()
	a, b := &PublishError{ID: "a", Err: ErrNacked}, &PublishError{ID: "b", Err: ErrUnroutable}
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"nil", nil, ""},
		{"another error", errCut, ""},
		{"one", a, "a"},
		{"joined", errors.Join(a, b), "ab"},
		{"wrapped", fmt.Errorf("producer: %w", errors.Join(a, errCut, b)), "ab"},
		{"joined twice", errors.Join(errors.Join(a), fmt.Errorf("x: %w", b)), "ab"},
	}
	for _, test := range tests {
		var got string
		for _, f := range Failures(test.err) {
			got += f.ID
		}
		if got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

func TestErrorsTellTheirObject(t *testing.T) {
	t.Parallel()
	publish := &PublishError{ID: "1", Exchange: "errand.jobs", Key: "pdf", Err: ErrNacked}
	if text := publish.Error(); !errors.Is(publish, ErrNacked) || !strings.Contains(text, "1") || !strings.Contains(text, `"errand.jobs"`) || !strings.Contains(text, `"pdf"`) {
		t.Errorf("got %q", text)
	}
	for code, want := range map[int]string{
		amqp.PreconditionFailed: "topology.Existing()",
		amqp.AccessRefused:      "broker.Config.NoDeclare",
		amqp.NotFound:           "queue pdf",
	} {
		err := &DeclareError{Object: "queue pdf", Err: fromServer(code)}
		if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "queue pdf") || !errors.Is(err, err.Err) {
			t.Errorf("code %d: got %q, want it to say %q", code, err, want)
		}
	}
}

func TestErrorClasses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name              string
		err               error
		channel, protocol bool
	}{
		{"nil", nil, false, false},
		{"no AMQP error", errCut, false, false},
		{"not found", fromServer(amqp.NotFound), true, false},
		{"precondition, wrapped", fmt.Errorf("x: %w", fromServer(amqp.PreconditionFailed)), true, false},
		{"refused", fromServer(amqp.AccessRefused), true, false},
		{"syntax", fromServer(amqp.SyntaxError), false, true},
		{"internal", fromServer(amqp.InternalError), false, true},
		{"forced", fromServer(amqp.ConnectionForced), false, false},
		{"cut, as the library says it", &amqp.Error{Code: amqp.FrameError}, false, false},
	}
	for _, test := range tests {
		if channel, protocol := channelOnly(test.err), protocolError(test.err); channel != test.channel || protocol != test.protocol {
			t.Errorf("%s: closes a channel only %v, protocol error %v, want %v, %v", test.name, channel, protocol, test.channel, test.protocol)
		}
	}
}
