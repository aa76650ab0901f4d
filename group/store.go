package group

import (
	"context"
	"errors"
	"fmt"
)

// ErrInvalid is wrapped by the errors of a [Store] about what it was asked to record.
var ErrInvalid = errors.New("group: invalid")

// A Store remembers which members of each group are done. It is safe for concurrent use, by
// as many processes as share it.
type Store interface {
	// Done records that a member, named by its job ID, of a group of the given size is done. Of
	// each group exactly one member is the last, the one whose recording made the group
	// complete. It is told so each time that it is recorded, and no other member ever is. When
	// Done returns an error, the member may have been recorded: recording it again is safe.
	//
	// Names are 1 to 255 bytes; a size is at least 1. Where the members do not agree on the
	// size, the largest that was heard of while the group was incomplete counts.
	Done(ctx context.Context, group string, size int, member string) (last bool, err error)
}

// maxName is how long a job ID can be, in bytes.
const maxName = 255

// check returns the rule that a call of Done breaks.
func check(group string, size int, member string) error {
	switch {
	case group == "" || len(group) > maxName:
		return fmt.Errorf("%w: group %.40q: a name of %d bytes, 1 to %d are allowed", ErrInvalid, group, len(group), maxName)
	case member == "" || len(member) > maxName:
		return fmt.Errorf("%w: group %q: member %.40q: a name of %d bytes, 1 to %d are allowed", ErrInvalid, group, member, len(member), maxName)
	case size < 1:
		return fmt.Errorf("%w: group %q: a size of %d, at least 1 is allowed", ErrInvalid, group, size)
	}
	return nil
}
