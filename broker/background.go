package broker

import "context"

// background runs f on a goroutine that Close waits for. f must end when the connection does.
func (c *Conn) background(f func()) {
	c.mu.Lock()
	closing := c.closing
	if !closing {
		c.wg.Go(f)
	}
	c.mu.Unlock()
	if closing {
		f() // the connection has ended or is about to
	}
}

// within returns what f does, whose calls to the server take no context, or the cause of
// ctx's end if that comes first. f goes on then, and what it comes to after all is given to
// orphan, unless that is nil.
func within[T any](ctx context.Context, c *Conn, f func() (T, error), orphan func(T)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	c.background(func() {
		value, err := f()
		done <- result{value, err}
	})
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		if orphan != nil {
			c.background(func() {
				if r := <-done; r.err == nil {
					orphan(r.value)
				}
			})
		}
		var none T
		return none, context.Cause(ctx)
	}
}
