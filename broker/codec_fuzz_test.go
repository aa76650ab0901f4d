package broker

import (
	"bytes"
	"encoding/binary"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// tableOf is a table as it is read: without its size.
func tableOf(t *testing.T, fields map[string]any) []byte {
	t.Helper()
	b, err := appendTable([]byte("before"), fields)
	must(t, err)
	b = b[len("before"):]
	if size := binary.BigEndian.Uint32(b); int(size) != len(b)-4 {
		t.Fatalf("a table of %d bytes says that it has %d", len(b)-4, size)
	}
	return b[4:]
}

// tableSeeds are tables to begin with.
func tableSeeds() (seeds [][]byte) {
	for _, v := range fieldValues {
		if b, err := appendTable(nil, map[string]any{"h": v, "l": []any{v}, "m": map[string]any{"": v}}); err == nil && len(b) < 1000 {
			seeds = append(seeds, b[4:])
		}
	}
	deep := entry("end", "V")
	for range 34 {
		deep = entry("", sized("F", deep))
	}
	return append(seeds, nil, deep, deep[6:], entry("a", "A\xff\xff\xff\xff"), entry("a", "x\x80\x00\x00\x00"), entry("t", "t\x07"), slices.Concat(entry("twice", "V"), entry("twice", "b1")))
}

// FuzzTable: what is read of any bytes can be written, and reads the same again.
func FuzzTable(f *testing.F) {
	for _, seed := range tableSeeds() {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		fields, err := readTable(b, 0)
		if !bytes.Equal(b, before) {
			t.Errorf("reading has changed %q to %q", before, b)
		}
		if err != nil {
			return
		}
		wrote := tableOf(t, fields)
		again, err := readTable(wrote, 0)
		if err != nil || !reflect.DeepEqual(alike(again), alike(fields)) {
			t.Errorf("%q: got %#v, %v, want %#v", b, again, err, fields)
		}
		clear(b)
		if !reflect.DeepEqual(alike(again), alike(fields)) {
			t.Errorf("%q: %#v changes with the bytes that it was read from", before, fields)
		}
	})
}

// FuzzTableInTheLibrary: what we read of any bytes, the library reads as well.
func FuzzTableInTheLibrary(f *testing.F) {
	for _, seed := range tableSeeds() {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		fields, err := readTable(b, 0)
		if err != nil || len(b) > maxHeaders {
			return
		}
		l := connectLibrary(t)
		header := encoder(nil).u16(hasHeaders | hasMessageID).long(string(b)).short("id")
		l.peer.send(content{header, nil}.appendTo(nil, l.channel, delivering(Message{}, 1, false)))
		d := next(t, l, l.in)
		if d.MessageId != "id" || !reflect.DeepEqual(alike(d.Headers), alike(fields)) {
			t.Errorf("%q: the library reads %#v, we read %#v", b, d.Headers, fields)
		}
	})
}

// FuzzMessage: any message is read as it was written.
func FuzzMessage(f *testing.F) {
	f.Add("x", "k", "id", "type", "text/plain", "app", "c", "r", int64(1_700_000_000), int64(5), int64(60_000), uint8(9), uint8(1), []byte("\x01hS\x00\x00\x00\x01v"), []byte("body"), uint16(4096))
	f.Add("", "", "", "", "", "", "", "", int64(0), int64(0), int64(0), uint8(0), uint8(0), []byte{}, []byte{}, uint16(0))
	f.Add("", "", "", "", "", "", "", strings.Repeat("r", 255), int64(-62135596800), int64(1), int64(-1), uint8(255), uint8(7), entry("n", "d\x7f\xf8\x00\x00\x00\x00\x00\x01"), bytes.Repeat([]byte("b"), 300), uint16(1))
	f.Fuzz(func(t *testing.T, exchange, key, id, kind, contentType, app, correlation, replyTo string, sec, nsec, expires int64, priority, flags uint8, headers, body []byte, frame uint16) {
		m := Message{Exchange: exchange, Key: key, ID: id, Type: kind, ContentType: contentType, AppID: app, CorrelationID: correlation, ReplyTo: replyTo,
			Priority: priority, Transient: flags&1 != 0, Optional: flags&2 != 0, Body: body}
		for _, s := range []*string{&m.Exchange, &m.Key, &m.ID, &m.Type, &m.ContentType, &m.AppID, &m.CorrelationID, &m.ReplyTo} {
			*s = (*s)[:min(len(*s), 255)]
		}
		if sec != 0 || flags&4 != 0 {
			m.Timestamp = time.Unix(sec, nsec)
		}
		m.Expiration = time.Duration(expires) % (math.MaxUint32 * time.Millisecond)
		if fields, err := readTable(headers, 0); err == nil && len(headers) < maxHeaders {
			m.Headers = fields
		}
		size := frameOverhead + 1 + max(int(frame), len(body)/100)
		stream := readdressed(t, written(t, 9, m, size), delivering(m, 1, false))
		wantArrived(t, "read", arrived(t, 9, bytes.NewReader(stream)), m)
	})
}
