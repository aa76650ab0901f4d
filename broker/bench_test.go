package broker

import (
	"io"
	"net"
	"testing"
	"time"
)

// countedAcks counts ack frames.
type countedAcks int

func (n *countedAcks) Ack(uint64, bool) error        { *n++; return nil }
func (n *countedAcks) Nack(uint64, bool, bool) error { *n++; return nil }
func (n *countedAcks) Reject(uint64, bool) error     { *n++; return nil }

// The ack tracker: a hundred jobs come, and are answered in an order in which every tenth
// ends after those behind it.
func BenchmarkAcks(b *testing.B) {
	const jobs = 100
	var frames countedAcks
	a := newAcks(&frames, 1)
	tag := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		var late []*Delivery
		for i := range jobs {
			tag++
			d := &Delivery{tag: tag, answerer: a}
			a.add(d)
			if i%10 == 0 {
				late = append(late, d)
				continue
			}
			if err := d.Ack(); err != nil {
				b.Fatal(err)
			}
		}
		for _, d := range late {
			if err := d.Ack(); err != nil {
				b.Fatal(err)
			}
			if _, err := a.pass(false); err != nil {
				b.Fatal(err)
			}
		}
	}
	if a.head != nil {
		b.Errorf("the answer to %d was not sent", a.head.tag)
	}
	b.ReportMetric(float64(frames)/float64(tag), "frames/job")
}

// The coalescing socket, over loopback: 340 bytes are a job of 256 bytes with its envelope.
func BenchmarkSocket(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // nothing depends on it
	received := make(chan int64, 1)
	go func() {
		peer, err := l.Accept()
		if err != nil {
			received <- 0
			return
		}
		n, _ := io.Copy(io.Discard, peer)
		received <- n
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	s := newSocket(conn, time.Minute)
	frame := make([]byte, 340)
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Write(frame); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	if n, want := <-received, int64(b.N*len(frame)); n != want {
		b.Errorf("the peer got %d bytes, want %d", n, want)
	}
}
