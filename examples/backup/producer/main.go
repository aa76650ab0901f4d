// Producer walks a directory and enqueues a job for each file in it, for the backup
// example's workers to copy.
//
//	producer -source DIR [-amqp URL] [-wait] [-summary FILE] …
//
// With -wait it shows what becomes of the files until that is known of all. It exits with 0
// if all is well, 1 if a file failed or was not heard of, 2 if it could not do its work.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// errUnwell says that the run ended in order, and not every file is backed up.
var errUnwell = errors.New("producer: not every file is backed up")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	err := run(ctx, os.Args[1:])
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, err)
	if errors.Is(err, errUnwell) {
		os.Exit(1)
	}
	os.Exit(2)
}
