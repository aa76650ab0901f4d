package group_test

import (
	"context"
	"fmt"

	"github.com/errandq/errand/group"
	"github.com/errandq/errand/job"
)

// A book is ready when its chapters are. A worker has the middleware in its Config; here it is
// called as the worker would.
func ExampleCount() {
	chapter := job.Define[int]("book.chapter")
	book := job.Define[string]("book.bind")
	members := job.Group(book.New("Moby-Dick"), chapter.New(1), chapter.New(2))

	enqueuer := &fakeEnqueuer{}
	handler := group.Count(group.NewMemory(), enqueuer)(func(_ context.Context, j job.Job) error {
		n, err := chapter.Decode(j)
		fmt.Println("chapter", n)
		return err
	})
	for _, j := range []job.Job{members[0], members[0], members[1]} { // the first one runs twice
		if err := handler(context.Background(), j); err != nil {
			fmt.Println(err)
		}
	}
	for _, j := range enqueuer.jobs {
		fmt.Println(j.Kind, string(j.Body))
	}
	// Output:
	// chapter 1
	// chapter 1
	// chapter 2
	// book.bind "Moby-Dick"
}
