package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// A Follower reads the ledgers of a directory while they grow. It is for one goroutine.
type Follower struct {
	dir   string
	files map[string]*tail
	buf   []byte
}

// A tail is the end of one file that was not read yet.
type tail struct {
	file *os.File
	part []byte // of a line whose end is still missing
}

// Follow reads the ledgers in dir, those that come later too.
func Follow(dir string) *Follower {
	return &Follower{dir: dir, files: map[string]*tail{}, buf: make([]byte, 64<<10)}
}

// Poll calls f for each event that was written since the last Poll, with the name of its
// ledger. A last line without an end, of a process that was killed, is never an event.
func (l *Follower) Poll(f func(name string, e Event)) error {
	paths, err := filepath.Glob(filepath.Join(l.dir, "*"+suffix))
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	for _, path := range paths {
		t := l.files[path]
		if t == nil {
			file, err := os.Open(path)
			if err != nil {
				return fmt.Errorf("ledger: %w", err)
			}
			t = &tail{file: file}
			l.files[path] = t
		}
		name := strings.TrimSuffix(filepath.Base(path), suffix)
		if err := t.read(l.buf, func(e Event) { f(name, e) }); err != nil {
			return fmt.Errorf("ledger: %s: %w", name, err)
		}
	}
	return nil
}

func (t *tail) read(buf []byte, f func(Event)) error {
	for {
		n, err := t.file.Read(buf)
		if err := t.lines(buf[:n], f); err != nil {
			return err
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (t *tail) lines(b []byte, f func(Event)) error {
	t.part = append(t.part, b...)
	for {
		line, rest, whole := bytes.Cut(t.part, []byte("\n"))
		if !whole {
			t.part = append(t.part[:0], line...)
			return nil
		}
		var e Event
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("line %.200q: %w", line, err)
		}
		f(e)
		t.part = rest
	}
}

// Close ends the reading.
func (l *Follower) Close() error {
	var errs []error
	for _, t := range l.files {
		errs = append(errs, t.file.Close())
	}
	return errors.Join(errs...)
}
