package contest

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/pprof"
)

// How much is sampled.
const (
	allocRate  = 64 << 10 // bytes for a sample of allocations: an eighth of the default
	blockRate  = 10_000   // nanoseconds of waiting for a sample of blocking
	mutexEvery = 10       // contended locks for a sample
)

// profile writes what the process does until stop to the directory that the assignment names:
// WORK.CONTENDER.cpu and the same with .allocs, .block and .mutex, for go tool pprof, with
// .callee behind the contender where the process answers calls. Later rounds overwrite them.
func profile(a assignment) (stop func() error, err error) {
	if a.Profiles == "" {
		return func() error { return nil }, nil
	}
	name := regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(a.Work.Name, "-") + "." + a.Contender
	if a.Serve {
		name += ".callee"
	}
	runtime.MemProfileRate = allocRate
	runtime.SetBlockProfileRate(blockRate)
	runtime.SetMutexProfileFraction(mutexEvery)
	if err := os.MkdirAll(a.Profiles, 0o755); err != nil {
		return nil, err
	}
	cpu, err := os.Create(filepath.Join(a.Profiles, name+".cpu"))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return nil, errors.Join(err, cpu.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		err := cpu.Close()
		for _, kind := range []string{"allocs", "block", "mutex"} {
			err = errors.Join(err, writeProfile(filepath.Join(a.Profiles, name+"."+kind), kind))
		}
		return err
	}, nil
}

func writeProfile(path, kind string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(pprof.Lookup(kind).WriteTo(f, 0), f.Close())
}
