// Package crew works tasks on as many goroutines as they need at the same time.
//
// A goroutine for each task costs more than a quick task itself: its stack has to grow anew to
// what decoding arguments needs, and it is a switch each. Here a goroutine that has ended one
// task takes the next if there is one, and another is woken only if all that are awake may be
// at work. So tasks that wait, for a network or a disk, all run at once, and quick ones are
// worked by a few goroutines one after the other.
//
// A crew does not limit how many tasks run at once: whoever adds them does.
package crew
