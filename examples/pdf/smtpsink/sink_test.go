package smtpsink

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/smtp"
	"net/textproto"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, config Config) *Sink {
	t.Helper()
	config.Logger = slog.New(slog.DiscardHandler)
	sink, err := Start(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sink.Close(); err != nil {
			t.Error(err)
		}
	})
	return sink
}

// The standard library's client, so that the sink is not only tested against the example's own mailer.
func send(sink *Sink, to string) error {
	return smtp.SendMail(sink.Addr(), nil, "shop@example.com", []string{to},
		[]byte("Message-ID: <id-1@example.com>\r\nSubject: hello\r\n\r\n.dot\r\nbody\r\n"))
}

func code(err error) int {
	if protocol, ok := errors.AsType[*textproto.Error](err); ok {
		return protocol.Code
	}
	return 0
}

func TestSinkKeepsMails(t *testing.T) {
	t.Parallel()
	sink := start(t, Config{Dir: t.TempDir()})
	for range 3 {
		if err := send(sink, "ada@example.com"); err != nil {
			t.Fatal(err)
		}
	}
	mails := sink.Mails()
	if len(mails) != 3 || sink.Refused() != 0 {
		t.Fatalf("got %d mails and %d refused, want 3 and 0", len(mails), sink.Refused())
	}
	files := map[string]bool{}
	for _, mail := range mails {
		if mail.From != "shop@example.com" || len(mail.To) != 1 || mail.To[0] != "ada@example.com" || mail.MessageID != "id-1@example.com" {
			t.Errorf("got %+v", mail)
		}
		content, err := os.ReadFile(mail.File)
		if err != nil || !strings.HasSuffix(string(content), "\r\n\r\n.dot\r\nbody\r\n") {
			t.Errorf("got file %q, %v", content, err)
		}
		files[mail.File] = true
	}
	if len(files) != 3 {
		t.Errorf("got files %v, want one for each mail", files)
	}
}

func TestSinkWithoutDirectoryCounts(t *testing.T) {
	t.Parallel()
	sink := start(t, Config{})
	if err := send(sink, "ada@example.com"); err != nil {
		t.Fatal(err)
	}
	if mails := sink.Mails(); len(mails) != 1 || mails[0].File != "" {
		t.Errorf("got %+v, want one mail without a file", mails)
	}
}

func TestSinkRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		faults Faults
		want   []int // codes of one attempt after the other; 0: accepted
	}{
		{"nothing", Faults{}, []int{0, 0}},
		{"the first two", Faults{First: 2}, []int{451, 451, 0}},
		{"with another code", Faults{First: 1, Code: 421}, []int{421, 0}},
		{"for an hour", Faults{For: time.Hour}, []int{451, 451}},
		{"the recipient", Faults{Reject: []string{"ada@example.com"}}, []int{550, 550}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			sink := start(t, Config{Faults: test.faults})
			accepted := 0
			for n, want := range test.want {
				if got := code(send(sink, "ada@example.com")); got != want {
					t.Errorf("attempt %d: got code %d, want %d", n+1, got, want)
				}
				if want == 0 {
					accepted++
				}
			}
			if got := len(sink.Mails()); got != accepted {
				t.Errorf("got %d mails, want %d", got, accepted)
			}
		})
	}
}

func TestFaultsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		// No listener: the network is not part of the bubble's clock.
		sink := &Sink{config: Config{Faults: Faults{For: time.Minute}}, started: time.Now()}
		time.Sleep(time.Minute - time.Nanosecond)
		if sink.attempt() == nil {
			t.Error("accepted a nanosecond before the fault's end")
		}
		time.Sleep(time.Nanosecond)
		if refusal := sink.attempt(); refusal != nil {
			t.Errorf("after the fault's end: got %v", refusal)
		}
	})
}

func TestStartSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, config := range []Config{
		{Addr: "nowhere"},
		{Dir: "/dev/null/x"},
		{Faults: Faults{First: -1}},
		{Faults: Faults{Code: 550}},
	} {
		if sink, err := Start(config); err == nil {
			sink.Close()
			t.Errorf("Start(%+v): got no error", config)
		} else if !strings.HasPrefix(err.Error(), "smtpsink: start: ") {
			t.Errorf("Start(%+v): got %q", config, err)
		}
	}
}

func TestCloseCutsConnectionsAndMayBeRepeated(t *testing.T) {
	t.Parallel()
	sink := start(t, Config{})
	conn, err := net.Dial("tcp", sink.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Read(make([]byte, 1)); err != nil { // the greeting: the sink has the connection
		t.Fatal(err)
	}
	for range 2 {
		if err := sink.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := io.Copy(io.Discard, conn); err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
		t.Errorf("read until the end: %v", err)
	}
}

func TestCloseRightAfterStart(t *testing.T) {
	t.Parallel()
	for range 100 {
		sink, err := Start(Config{})
		if err != nil {
			t.Fatal(err)
		}
		if err := sink.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
