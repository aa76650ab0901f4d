package copier

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	backup "github.com/errandq/errand/examples/backup"
	"github.com/errandq/errand/examples/backup/outcome"
	"github.com/errandq/errand/examples/backup/source"
	"github.com/errandq/errand/examples/backup/store"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/retry"
)

// Config is what a Copier works with. All fields are needed but for Logger.
type Config struct {
	Roots   source.Roots // what may be read
	Store   *store.Store // where copies go
	Reports job.Enqueuer // takes the reports
	Retry   retry.Policy // of the handler: a report says whether another attempt follows
	Logger  *slog.Logger // nil means slog.Default()
}

// A Copier copies files. It is safe for concurrent use.
type Copier struct {
	cfg Config
}

// New returns a Copier.
func New(cfg Config) *Copier {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return &Copier{cfg: cfg}
}

// Copy is a handler for [backup.CopyFile]. It may run any number of times for one file: what
// the store holds already is left alone. Its errors are those of source.Roots.Open and
// store.Store.Put; a file that is gone is no error.
func (c *Copier) Copy(ctx context.Context, f backup.File) error {
	res, err := c.attempt(ctx, f)
	if err == nil {
		c.cfg.Logger.Debug("file is backed up", "path", f.Path, "status", string(res.Status), "bytes", res.Bytes)
	}
	if f.Run == "" || (err != nil && handedOn(ctx)) {
		return err
	}
	reportErr := c.report(ctx, f, res, err)
	if reportErr != nil && err == nil {
		return fmt.Errorf("copier: report: %w", reportErr) // the next attempt finds the copy there, and reports again
	}
	if reportErr != nil {
		c.cfg.Logger.Warn("a failure could not be reported", "path", f.Path, "err", reportErr)
	}
	return err
}

func (c *Copier) attempt(ctx context.Context, f backup.File) (outcome.Result, error) {
	item, err := c.cfg.Roots.Open(f.Source, f.Path)
	if errors.Is(err, source.ErrGone) {
		return outcome.Result{Status: outcome.Gone, Note: "deleted since the walk"}, nil
	}
	if err != nil {
		return outcome.Result{}, err
	}
	defer item.Close()
	return c.cfg.Store.Put(ctx, item)
}
