package main

import (
	"errors"
	"sync"
)

// inParallel calls f n times, on so many goroutines, and joins their errors.
func inParallel(goroutines, n int, f func() error) error {
	errs := make([]error, goroutines)
	var running sync.WaitGroup
	for i := range goroutines {
		part := n*(i+1)/goroutines - n*i/goroutines
		running.Go(func() {
			for range part {
				if errs[i] = f(); errs[i] != nil {
					return
				}
			}
		})
	}
	running.Wait()
	return errors.Join(errs...)
}
