package devserver

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"
	"time"
)

// wire is an AMQP connection that is just able to log in and to be closed: package
// broker has the real one, and this package may not import its library.
type wire struct{ conn net.Conn }

// login opens the vhost of a URL.
func login(t *testing.T, raw string) *wire {
	t.Helper()
	list, err := parseURLs(raw)
	if err != nil {
		t.Fatal(err)
	}
	u := list[0]
	conn, err := net.DialTimeout("tcp", u.Host, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	c := &wire{conn}
	password, _ := u.User.Password()
	plain := "\x00" + u.User.Username() + "\x00" + password
	start := []byte{0, 0, 0, 0} // no client properties
	start = append(start, "\x05PLAIN"...)
	start = binary.BigEndian.AppendUint32(start, uint32(len(plain)))
	start = append(start, plain+"\x05en_US"...)
	vhost := u.Path
	if vhost != "/" {
		vhost = vhost[1:]
	}
	open := append([]byte{byte(len(vhost))}, vhost+"\x00\x00"...)

	if _, err := conn.Write([]byte("AMQP\x00\x00\x09\x01")); err != nil {
		t.Fatal(err)
	}
	c.expect(t, 10)                                 // start
	c.send(t, 11, start)                            // start-ok
	c.expect(t, 30)                                 // tune
	c.send(t, 31, []byte{7, 255, 0, 2, 0, 0, 0, 0}) // tune-ok: 2047 channels, 128 KiB, no heartbeat
	c.send(t, 40, open)                             // open
	c.expect(t, 41)                                 // open-ok
	return c
}

// send writes a method of class connection on channel 0.
func (c *wire) send(t *testing.T, method byte, args []byte) {
	t.Helper()
	frame := []byte{1, 0, 0}
	frame = binary.BigEndian.AppendUint32(frame, uint32(4+len(args)))
	frame = append(frame, 0, 10, 0, method)
	frame = append(append(frame, args...), 0xCE)
	if _, err := c.conn.Write(frame); err != nil {
		t.Fatal(err)
	}
}

// expect reads a method of class connection and returns its arguments.
func (c *wire) expect(t *testing.T, method byte) []byte {
	t.Helper()
	args, err := c.receive(method)
	if err != nil {
		t.Fatalf("waiting for connection method %d: %v", method, err)
	}
	return args
}

func (c *wire) receive(method byte) ([]byte, error) {
	head := make([]byte, 7)
	if _, err := io.ReadFull(c.conn, head); err != nil {
		return nil, err
	}
	body := make([]byte, binary.BigEndian.Uint32(head[3:])+1)
	if _, err := io.ReadFull(c.conn, body); err != nil {
		return nil, err
	}
	if body[1] != 10 || body[3] != method {
		return nil, fmt.Errorf("got method %d of class %d: %q", body[3], body[1], body)
	}
	return body[4 : len(body)-1], nil
}
