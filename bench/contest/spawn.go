package contest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// cleaning is how long it may take to remove what a sample has left on its server.
const cleaning = 30 * time.Second

// sampleOf has a child make one sample.
func sampleOf(ctx context.Context, c Contender, w Work, server Server, o Options) (s Sample, err error) {
	url, remove, err := server.Space(ctx)
	if err != nil {
		return s, fmt.Errorf("a space on %s: %w", c.Server, err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleaning)
		defer cancel()
		err = errors.Join(err, remove(ctx))
	}()
	w = w.share(c.Share[w.Kind])
	// The child ends itself before.
	ctx, cancel := context.WithTimeout(ctx, patience+10*time.Second)
	defer cancel()
	cmd, err := command(ctx, assignment{Contender: c.Name, Work: w, URL: url, ServerPID: server.PID(), Short: o.Short, Profiles: o.Profiles})
	if err != nil {
		return s, err
	}
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil {
		return s, err
	}
	if err := json.Unmarshal(out.Bytes(), &s); err != nil {
		return s, fmt.Errorf("%q is no sample: %w", out.String(), err)
	}
	return s, s.check(w)
}
