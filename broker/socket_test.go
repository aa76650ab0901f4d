package broker

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var errCut = errors.New("cut")

// pipe is a socket with its peer. The peer's end of net.Pipe has no buffer: what it does not
// read stays in the socket.
func pipe(t *testing.T, timeout time.Duration) (s *socket, peer net.Conn) {
	t.Helper()
	ours, theirs := net.Pipe()
	s = newSocket(ours, timeout)
	t.Cleanup(func() {
		s.fail(errSocketClosed)
		<-s.finished
	})
	return s, theirs
}

func write(t *testing.T, s *socket, text string) {
	t.Helper()
	if n, err := s.Write([]byte(text)); n != len(text) || err != nil {
		t.Fatalf("Write: %d, %v, want %d bytes taken", n, err, len(text))
	}
}

func read(t *testing.T, peer io.Reader) string {
	t.Helper()
	buf := make([]byte, 1<<20)
	n, err := peer.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

func TestSocketJoinsWhatComesDuringAWrite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, peer := pipe(t, time.Minute)
		write(t, s, "first")
		synctest.Wait() // its write is under way
		for range 100 {
			write(t, s, "ack.")
		}
		if got := read(t, peer); got != "first" {
			t.Errorf("got %q, want the first write alone and at once", got)
		}
		if got := read(t, peer); got != strings.Repeat("ack.", 100) {
			t.Errorf("got %q, want all the others in one", got)
		}
	})
}

func TestSocketKeepsOrderAndBytes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, peer := pipe(t, time.Minute)
		var want bytes.Buffer
		done := make(chan []byte)
		go func() {
			all, err := io.ReadAll(peer)
			if err != nil {
				t.Error(err)
			}
			done <- all
		}()
		for i := range 5000 {
			chunk := bytes.Repeat([]byte{byte(i)}, i%400)
			want.Write(chunk)
			write(t, s, string(chunk))
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if got := <-done; !bytes.Equal(got, want.Bytes()) {
			t.Errorf("the peer got %d bytes, want the %d that were written", len(got), want.Len())
		}
	})
}

func TestSocketMakesWritersWaitForAPeerThatDoesNotRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, peer := pipe(t, time.Hour)
		taken := 0
		done := make(chan struct{})
		go func() {
			defer close(done)
			for taken < 4<<20 {
				n, err := s.Write(make([]byte, 64<<10))
				if err != nil {
					t.Error(err)
					return
				}
				taken += n
			}
		}()
		synctest.Wait()
		if most := 2*writeBuffer + 64<<10; taken > most {
			t.Errorf("it took %d bytes, want at most %d", taken, most)
		}
		received := 0
		for received < 4<<20 {
			received += len(read(t, peer))
		}
		<-done
	})
}

func TestSocketKeepsItsFirstError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, peer := pipe(t, time.Minute)
		blocked := make(chan error)
		go func() {
			for {
				if _, err := s.Write(make([]byte, writeBuffer)); err != nil {
					blocked <- err
					return
				}
			}
		}()
		synctest.Wait()
		s.fail(errCut)
		s.fail(io.ErrUnexpectedEOF)
		if err := <-blocked; !errors.Is(err, errCut) {
			t.Errorf("the writer that waited got %v, want %v", err, errCut)
		}
		if _, err := s.Write([]byte("late")); !errors.Is(err, errCut) {
			t.Errorf("a later writer got %v, want %v", err, errCut)
		}
		if _, err := s.Read(make([]byte, 1)); err == nil {
			t.Error("a failed socket can be read")
		}
		if _, err := peer.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("the peer got %v, want the end", err)
		}
		<-s.finished
	})
}

func TestSocketNoticesAPeerThatIsGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, peer := pipe(t, time.Minute)
		if err := peer.Close(); err != nil {
			t.Fatal(err)
		}
		write(t, s, "to nobody")
		<-s.finished
		if _, err := s.Write([]byte("late")); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("got %v, want what the connection said", err)
		}
	})
}

func TestSocketCloseWritesWhatIsPending(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, peer := pipe(t, time.Minute)
		write(t, s, "first,")
		synctest.Wait()
		write(t, s, "second")
		done := make(chan error)
		go func() { done <- s.Close() }()
		synctest.Wait()
		if _, err := s.Write([]byte("late")); !errors.Is(err, errSocketClosed) {
			t.Errorf("Write after Close: got %v, want %v", err, errSocketClosed)
		}
		if got, err := io.ReadAll(peer); err != nil || string(got) != "first,second" {
			t.Errorf("the peer got %q, %v, want everything and then the end", got, err)
		}
		if err := errors.Join(<-done, s.Close()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
}

func TestSocketCloseGivesUpOnAPeerThatDoesNotRead(t *testing.T) {
	t.Parallel()
	for name, paused := range map[string]bool{"running": false, "paused": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, _ := pipe(t, time.Hour)
				s.pause(paused)
				write(t, s, "nobody reads this")
				synctest.Wait()
				began := time.Now()
				if err := s.Close(); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took != closeTimeout {
					t.Errorf("Close took %v, want %v", took, closeTimeout)
				}
			})
		})
	}
}

func TestSocketFailsAfterAWriteThatIsStuck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, _ := pipe(t, 3*time.Second)
		time.Sleep(time.Minute) // an idle socket has no deadline
		write(t, s, "nobody reads this")
		began := time.Now()
		<-s.finished
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("it failed after %v, want 3s", took)
		}
		if _, err := s.Write([]byte("late")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v, want a deadline exceeded", err)
		}
	})
}

func TestSocketWaitsAsLongAsItIsPaused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, peer := pipe(t, 3*time.Second)
		write(t, s, "before,")
		synctest.Wait()
		s.pause(true)
		write(t, s, "meanwhile")
		time.Sleep(time.Hour)
		if got := read(t, peer); got != "before," {
			t.Errorf("got %q, want what was under way", got)
		}
		time.Sleep(time.Hour)
		s.pause(false)
		time.Sleep(2 * time.Second)
		if got := read(t, peer); got != "meanwhile" {
			t.Errorf("got %q, want what was written during the pause", got)
		}
		write(t, s, "nobody reads this")
		began := time.Now()
		<-s.finished
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("after the pause it failed after %v, want 3s", took)
		}
	})
}

func TestSocketReads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, peer := pipe(t, time.Minute)
		go func() {
			if _, err := peer.Write([]byte("from the peer")); err != nil {
				t.Error(err)
			}
			if err := peer.Close(); err != nil {
				t.Error(err)
			}
		}()
		if got, err := io.ReadAll(s); err != nil || string(got) != "from the peer" {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

// A deadline is for a peer that does not read, not for one that takes a while for all of it.
func TestSocketHasPatienceWithALargeMessage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, peer := pipe(t, 20*time.Second)
		write(t, s, "AMQP....") // what precedes all frames
		open := frame{methodFrame, 1, method("channel.open").short("")}.appendTo(nil)
		write(t, s, string(open))
		ch := &rawChannel{socket: s, maxFrame: defaultFrame}
		ch.id, ch.serial = s.lastOpened()
		if err := ch.send(&Message{ID: "1", Body: make([]byte, DefaultMaxBody)}); err != nil {
			t.Fatal(err)
		}
		got, part := 0, make([]byte, 64<<10)
		for got < DefaultMaxBody {
			time.Sleep(100 * time.Millisecond) // 640 KiB a second
			n, err := peer.Read(part)
			if err != nil {
				t.Fatalf("after %d bytes: %v", got, err)
			}
			got += n
		}
	})
}

// What is sent on a channel goes between the frames of the library, which may come in pieces,
// and never on a channel that the library has closed.
func TestSocketPublishesBetweenTheLibrarysFrames(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, peer := pipe(t, time.Minute)
		write(t, s, "AMQP....")
		open := string(frame{methodFrame, 1, method("channel.open").short("")}.appendTo(nil))
		write(t, s, open)
		ch := &rawChannel{socket: s, maxFrame: defaultFrame}
		ch.id, ch.serial = s.lastOpened()
		declare := string(frame{methodFrame, 2, method("queue.declare").u16(0).short("q").flags().table(nil)}.appendTo(nil))
		write(t, s, declare[:9])
		done := make(chan error, 1)
		go func() { done <- ch.send(&Message{ID: "1"}) }()
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("it was sent in the midst of a frame: %v", err)
		default:
		}
		write(t, s, declare[9:])
		if err := <-done; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		sent := ""
		for !strings.Contains(sent, "\x011") { // its ID
			sent += read(t, peer)
		}
		if !strings.Contains(sent, declare) {
			t.Errorf("got %q, want %q in one piece", sent, declare)
		}
		for _, ending := range []string{"channel.close", "channel.close-ok"} {
			m := method(ending)
			if ending == "channel.close" {
				m = m.u16(200).short("").u16(0).u16(0)
			}
			write(t, s, string(frame{methodFrame, 1, m}.appendTo(nil)))
			if err := ch.send(&Message{ID: "2"}); err != errChannelOver {
				t.Errorf("after %s: got %v, want errChannelOver", ending, err)
			}
			write(t, s, open)
			if err := ch.send(&Message{ID: "2"}); err != errChannelOver {
				t.Errorf("the number is another channel's: got %v, want errChannelOver", err)
			}
			ch.id, ch.serial = s.lastOpened()
		}
	})
}

// Close has an end, however much the peer has still to read.
func TestSocketClosesInTimeThoughThePeerIsSlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, peer := pipe(t, 20*time.Second)
		write(t, s, strings.Repeat("x", 16<<20))
		slow := make(chan struct{})
		go func() {
			defer close(slow)
			part := make([]byte, 64<<10)
			for {
				time.Sleep(100 * time.Millisecond)
				if _, err := peer.Read(part); err != nil {
					return
				}
			}
		}()
		began := time.Now()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != closeTimeout {
			t.Errorf("it took %v, want %v", took, closeTimeout)
		}
		<-slow
	})
}
