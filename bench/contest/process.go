package contest

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// tick is the unit of CPU time in Linux's proc filesystem.
const tick = time.Second / 100

// ownCPU is the user and system time of this process so far.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(fmt.Sprintf("getrusage: %v", err)) // it has no reason to fail
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// treeCPU is the user and system time of a process and its children so far, those that have
// ended too. It is 0 where Linux's proc filesystem does not tell.
func treeCPU(pid int) time.Duration {
	if pid == 0 {
		return 0
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The name in parentheses may hold spaces. Behind it comes field 3.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 15 {
		return 0
	}
	var sum time.Duration
	for _, field := range fields[11:15] { // utime, stime, cutime, cstime
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0
		}
		sum += time.Duration(n) * tick
	}
	for _, child := range children(pid) {
		sum += treeCPU(child)
	}
	return sum
}

// children are those of the first thread, which is all that servers with child processes
// have: PostgreSQL.
func children(pid int) []int {
	list, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil
	}
	var pids []int
	for _, field := range strings.Fields(string(list)) {
		if child, err := strconv.Atoi(field); err == nil {
			pids = append(pids, child)
		}
	}
	return pids
}

// resetPeak makes peak forget what was before. Where that can't be done, peak is of the whole
// life of the process.
func resetPeak() {
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
}

// peak and resident are the largest and the present resident memory of this process, in bytes.
func peak() int     { return ownMemory("VmHWM") }
func resident() int { return ownMemory("VmRSS") }

// ownMemory asks Linux's proc filesystem. What it says is not that of getrusage, whose peak
// begins with the memory of the process that started this one.
func ownMemory(what string) int {
	kib, _, _ := strings.Cut(valueIn("/proc/self/status", what), " ")
	return atoi(kib) << 10
}
