package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
)

// uncopyable is how many of the files are refused for good: the link that points out of the
// directory.
const uncopyable = 1

// growing is the file that is being written while it is copied. It is the first to be found,
// so that this happens before it is finished, and so large that no copy of it fits between
// two writes.
const growing = "0 growing.log"

// backupDemo is the second half of the story: files are copied to a backup store.
type backupDemo struct {
	programs programs
	amqp     string
	dir      string
	files    int

	account backupAccount
	dead    []deadLetter
	same    int   // files whose bytes in the store are those of the source
	bytes   int64 // of those
}

// backupAccount is what the producer tells at its end.
type backupAccount struct {
	Files, Copied, Links, Failed, Retried, Unreported int
}

func (d *backupDemo) source() string { return filepath.Join(d.dir, "source") }
func (d *backupDemo) store() string  { return filepath.Join(d.dir, "store") }

func (d *backupDemo) run(ctx context.Context) error {
	if err := d.plant(); err != nil {
		return err
	}
	first, err := d.worker(ctx, "worker-1")
	if err != nil {
		return err
	}
	second, err := d.worker(ctx, "worker-2")
	if err != nil {
		return err
	}
	grown := make(chan error, 1)
	go func() { grown <- grow(ctx, filepath.Join(d.source(), growing)) }()

	summary := filepath.Join(d.dir, "producer.json")
	p, err := d.programs.start(ctx, "backup/producer", filepath.Join(d.dir, "producer.log"),
		"-amqp", d.amqp, "-source", d.source(), "-wait", "-summary", summary)
	if err != nil {
		return err
	}
	say("backup: %d files to copy; one of them is still being written", d.files)
	if err := until(ctx, "a third of the files is copied", second, func() (bool, error) {
		n, _, err := tree(filepath.Join(d.store(), "files"))
		return n >= d.files/3, err
	}); err != nil {
		return err
	}
	if err := first.kill(); err != nil {
		return err
	}
	say("backup: killed worker 1 with SIGKILL")
	// It exits with 1 to tell that a file could not be copied, which one can't.
	var exit *exec.ExitError
	if err := p.wait(); err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		return err
	}
	if err := <-grown; err != nil {
		return err
	}
	if d.dead, err = deadLetters(ctx, d.amqp, uncopyable, "backup"); err != nil {
		return err
	}
	if err := second.terminate(); err != nil {
		return err
	}
	if err := readJSON(summary, &d.account); err != nil {
		return err
	}
	return d.verify(ctx)
}

func (d *backupDemo) worker(ctx context.Context, name string) (*process, error) {
	return d.programs.start(ctx, "backup/worker", filepath.Join(d.dir, name+".log"),
		"-amqp", d.amqp, "-source", d.source(), "-store", d.store(), "-concurrency", "2")
}

// plant makes the files to back up: sizes from nothing to a megabyte, one of 64 MiB, names
// in several scripts, a link within the directory, and one that points out of it.
func (d *backupDemo) plant() error {
	rnd := rand.NewChaCha8([32]byte{1})
	sizes := rand.New(rand.NewPCG(1, 2))
	for i := range d.files {
		size := sizes.Int64N(1 << 20)
		name := filepath.Join(d.source(), fmt.Sprintf("folder %d", i%7), fmt.Sprintf("файл-资料-%04d.bin", i))
		switch i {
		case 0:
			size = 0
		case 1:
			size, name = 64<<20, filepath.Join(d.source(), growing)
		}
		if err := write(name, io.LimitReader(rnd, size)); err != nil {
			return err
		}
	}
	return errors.Join(
		os.Symlink(growing, filepath.Join(d.source(), "link within")),
		os.Symlink("/etc/hostname", filepath.Join(d.source(), "link out of here")))
}

func write(name string, from io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, from); err != nil {
		return err
	}
	return f.Close()
}

// grow writes to a file for a while, so that its copy finds it changed and is tried again.
func grow(ctx context.Context, name string) error {
	f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	for began := time.Now(); time.Since(began) < 2*time.Second; {
		if _, err := f.WriteString("one more line\n"); err != nil {
			return err
		}
		select {
		case <-time.After(200 * time.Microsecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// tree counts the files under dir and their bytes. A directory that is not there yet has
// none.
func tree(dir string) (n int, size int64, err error) {
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil
		}
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if os.IsNotExist(err) {
			return nil // a temporary file that has just got its name
		}
		if err == nil {
			n++
			size += info.Size()
		}
		return err
	})
	return n, size, err
}

// verify compares every file of the source with its copy, byte for byte by their SHA-256.
func (d *backupDemo) verify(ctx context.Context) error {
	bucket, err := fileblob.OpenBucket(d.store(), nil)
	if err != nil {
		return err
	}
	defer bucket.Close()
	return filepath.WalkDir(d.source(), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(d.source(), path)
		if err != nil {
			return err
		}
		same, size, err := equal(ctx, path, bucket, "files/"+filepath.ToSlash(rel))
		if same {
			d.same++
			d.bytes += size
		}
		return err
	})
}

func equal(ctx context.Context, file string, bucket *blob.Bucket, key string) (bool, int64, error) {
	f, err := os.Open(file)
	if err != nil {
		return false, 0, err
	}
	defer f.Close()
	copied, err := bucket.NewReader(ctx, key, nil)
	if err != nil {
		return false, 0, fmt.Errorf("no copy of %s: %w", file, err)
	}
	defer copied.Close()
	a, b := sha256.New(), sha256.New()
	size, err := io.Copy(a, f)
	if err != nil {
		return false, 0, err
	}
	if _, err := io.Copy(b, copied); err != nil {
		return false, 0, err
	}
	return [sha256.Size]byte(a.Sum(nil)) == [sha256.Size]byte(b.Sum(nil)), size, nil
}

func (d *backupDemo) report(r *report) {
	r.title("backup: files are copied to a store")
	r.check("files and links found", d.account.Files, d.files+1+uncopyable)
	r.check("files copied", d.account.Copied, d.files)
	r.check("files whose copy has the same SHA-256", d.same, d.files)
	r.note("MiB copied and verified", int(d.bytes>>20))
	r.check("links recorded", d.account.Links, 1)
	r.atLeast("copies retried, because the file changed meanwhile", d.account.Retried, 1)
	r.check("files failed for good", d.account.Failed, uncopyable)
	r.deadLetters("files put aside", d.dead, uncopyable)
	r.check("files lost", d.account.Unreported, 0)
}
