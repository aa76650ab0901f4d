package mail

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	"net"
	netmail "net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/errandq/errand/examples/pdf/smtpsink"
	"github.com/errandq/errand/retry"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func startSink(t *testing.T, faults smtpsink.Faults) *smtpsink.Sink {
	t.Helper()
	sink, err := smtpsink.Start(smtpsink.Config{Dir: t.TempDir(), Faults: faults, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sink.Close() })
	return sink
}

func newSender(t *testing.T, address string) *Sender {
	t.Helper()
	sender, err := NewSender(address, "shop@example.com")
	if err != nil {
		t.Fatal(err)
	}
	return sender
}

func testLetter(t *testing.T) Letter {
	t.Helper()
	path := filepath.Join(t.TempDir(), "A-1.pdf")
	if err := os.WriteFile(path, []byte("%PDF-1.4 …"), 0o600); err != nil {
		t.Fatal(err)
	}
	return Letter{ID: "id-1", To: "ada@example.com", Subject: "Your invoice, Łódź", Text: "Thank you!\n", Attachment: path}
}

func TestSendDeliversTextAndAttachment(t *testing.T) {
	t.Parallel()
	sink := startSink(t, smtpsink.Faults{})
	if err := newSender(t, sink.Addr()).Send(t.Context(), testLetter(t)); err != nil {
		t.Fatal(err)
	}
	mails := sink.Mails()
	if len(mails) != 1 || mails[0].MessageID != "id-1@example.com" || mails[0].To[0] != "ada@example.com" {
		t.Fatalf("got %+v", mails)
	}
	file, err := os.Open(mails[0].File)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	m, err := netmail.ReadMessage(file)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject")); err != nil || got != "Your invoice, Łódź" {
		t.Errorf("got subject %q, %v", got, err)
	}
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	parts := multipart.NewReader(m.Body, params["boundary"])
	text, err := parts.NextPart() // decodes quoted-printable by itself
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(text); err != nil || strings.TrimSpace(string(got)) != "Thank you!" {
		t.Errorf("got text %q, %v", got, err)
	}
	attachment, err := parts.NextPart()
	if err != nil || attachment.FileName() != "A-1.pdf" || !strings.HasPrefix(attachment.Header.Get("Content-Type"), "application/pdf") {
		t.Errorf("got attachment %v, %v", attachment, err)
	}
}

func TestSendRefused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name      string
		faults    smtpsink.Faults
		change    func(*Letter)
		permanent bool
		want      string
	}{
		{"451", smtpsink.Faults{First: 1}, nil, false, "451"},
		{"421", smtpsink.Faults{First: 1, Code: 421}, nil, false, "421"},
		{"no such mailbox", smtpsink.Faults{Reject: []string{"ada@example.com"}}, nil, true, "550"},
		{"bad address", smtpsink.Faults{}, func(l *Letter) { l.To = "nobody at all" }, true, `address "nobody at all"`},
		{"missing attachment", smtpsink.Faults{}, func(l *Letter) { l.Attachment += "x" }, false, "A-1.pdfx"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			sink, letter := startSink(t, test.faults), testLetter(t)
			if test.change != nil {
				test.change(&letter)
			}
			err := newSender(t, sink.Addr()).Send(t.Context(), letter)
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want one line with %q", err, test.want)
			}
			if got := retry.IsPermanent(err); got != test.permanent {
				t.Errorf("%v: permanent: got %v, want %v", err, got, test.permanent)
			}
			if n := len(sink.Mails()); n != 0 {
				t.Errorf("got %d mails, want none", n)
			}
		})
	}
}

func TestSendSucceedsAfterTemporaryRefusals(t *testing.T) {
	t.Parallel()
	sink := startSink(t, smtpsink.Faults{First: 2})
	sender, letter := newSender(t, "smtp://"+sink.Addr()), testLetter(t)
	for attempt := 1; attempt <= 3; attempt++ {
		if err := sender.Send(t.Context(), letter); (err == nil) != (attempt == 3) {
			t.Errorf("attempt %d: got %v", attempt, err)
		}
	}
}

// A password that is wrong, or that the server does not ask for, is the worker's mistake: the letter must live to be sent later.
func TestSendWithUselessPasswordIsNotPermanent(t *testing.T) {
	t.Parallel()
	sink := startSink(t, smtpsink.Faults{})
	err := newSender(t, "smtp://shop:s3cret@"+sink.Addr()).Send(t.Context(), testLetter(t))
	if err == nil || retry.IsPermanent(err) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("got %v, want a plain error without the password", err)
	}
}

func TestSendToNobodyIsNotPermanent(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	if err := newSender(t, address).Send(t.Context(), testLetter(t)); err == nil || retry.IsPermanent(err) {
		t.Errorf("got %v, want a plain error", err)
	}
}

// A server that accepts the connection and then says nothing, or stops after its greeting.
func TestSendEndsWithItsContext(t *testing.T) {
	t.Parallel()
	for _, greeting := range []string{"", "220 hello\r\n"} {
		t.Run(greeting, func(t *testing.T) {
			t.Parallel()
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			accepted := make(chan net.Conn, 1)
			go func() {
				conn, err := listener.Accept()
				if err == nil {
					_, err = io.WriteString(conn, greeting)
				}
				if err != nil {
					t.Error(err)
				}
				accepted <- conn
			}()
			stopped := errors.New("shutting down")
			ctx, cancel := context.WithCancelCause(t.Context())
			result := make(chan error, 1)
			go func() { result <- newSender(t, listener.Addr().String()).Send(ctx, testLetter(t)) }()
			conn := <-accepted
			cancel(stopped)
			if err := <-result; !errors.Is(err, stopped) {
				t.Errorf("got %v, want the context's cause", err)
			}
			// The connection's end is an EOF or, with our greeting unread, a reset.
			if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Error(err)
			}
			if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the connection was left open")
			}
			conn.Close()
			listener.Close()
		})
	}
}

func TestSendRespectsDeadline(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	sink := startSink(t, smtpsink.Faults{})
	if err := newSender(t, sink.Addr()).Send(ctx, testLetter(t)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want DeadlineExceeded", err)
	}
}
