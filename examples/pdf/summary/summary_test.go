package summary

import (
	"os"
	"path/filepath"
	"testing"
)

func TestWrite(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "summary.json")
	for range 2 { // the second time over the first one's file
		if err := Write(path, map[string]int{"pdfs": 3}); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "{\"pdfs\":3}\n" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := Write("", 1); err != nil {
		t.Errorf("empty path: got %v", err)
	}
	if err := Write(filepath.Join(path, "x"), 1); err == nil {
		t.Error("impossible path: got no error")
	}
	if err := Write(path, func() {}); err == nil {
		t.Error("a value that is no JSON: got no error")
	}
}
