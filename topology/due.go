package topology

import (
	"strconv"
	"strings"
	"time"
)

// Due reads where a delayed job goes that is in the queue of one level of the ladder: the
// queue that its key ends with, and when it gets there if it leaves the level at leaves. ok
// is false if level is no such queue, or key no such key.
func Due(level, key string, leaves time.Time) (queue string, due time.Time, ok bool) {
	_, digits, found := strings.Cut(level, ".delay.")
	at, err := strconv.Atoi(digits)
	words := strings.SplitN(key, ".", delayBits+1)
	if !found || err != nil || at < minLevel || at > maxLevel || len(words) <= delayBits {
		return "", time.Time{}, false
	}
	for lower := minLevel; lower < at; lower++ {
		if words[maxLevel-lower] == "1" {
			leaves = leaves.Add(time.Duration(1) << lower * time.Millisecond)
		}
	}
	return words[delayBits], leaves, true
}
