package devserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// installation is a RabbitMQ that is installed on this machine.
type installation struct {
	server string // rabbitmq-server
	epmd   string // Erlang's port mapper daemon
	path   string // PATH for both
}

// searchPath returns the directories to look for rabbitmq-server in.
//
// Those of the system come after /usr/lib/rabbitmq/bin, because what a Linux package puts
// into /usr/sbin is a wrapper that works for the users root and rabbitmq only.
func searchPath() []string {
	system := []string{"/usr/sbin", "/usr/bin", "/sbin", "/bin"}
	var dirs []string
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if filepath.IsAbs(dir) && !slices.Contains(system, dir) {
			dirs = append(dirs, dir)
		}
	}
	dirs = append(dirs, "/usr/lib/rabbitmq/bin", "/opt/homebrew/sbin", "/opt/homebrew/bin", "/usr/local/sbin", "/usr/local/bin")
	return append(dirs, system...)
}

// findInstalled looks for RabbitMQ and Erlang in dirs.
func findInstalled(dirs []string) (installation, error) {
	server := findExecutable("rabbitmq-server", dirs)
	if server == "" {
		return installation{}, errors.New("rabbitmq-server is not installed: " +
			"apt-get install rabbitmq-server, brew install rabbitmq, or start a Docker engine")
	}
	// Erlang may be in none of them: where Homebrew keeps several versions, and in the
	// directory that a link in PATH points into.
	dirs = slices.Clone(dirs)
	for _, glob := range []string{"/opt/homebrew/opt/erlang*/bin", "/usr/local/opt/erlang*/bin", "/usr/lib/erlang/bin"} {
		found, _ := filepath.Glob(glob) // the only error is that of a bad pattern
		dirs = append(dirs, found...)
	}
	if erl := findExecutable("erl", dirs); erl != "" {
		if target, err := filepath.EvalSymlinks(erl); err == nil {
			dirs = append(dirs, filepath.Dir(target))
		}
	}
	epmd := findExecutable("epmd", dirs)
	if epmd == "" {
		return installation{}, fmt.Errorf("%s is installed, but Erlang's epmd is not in PATH: add the directory that it is in", server)
	}
	return installation{
		server: server,
		epmd:   epmd,
		path:   strings.Join(append(dirs, filepath.Dir(epmd)), string(filepath.ListSeparator)),
	}, nil
}

func findExecutable(name string, dirs []string) string {
	for _, dir := range dirs {
		file := filepath.Join(dir, name)
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return file
		}
	}
	return ""
}

// startInstalled runs a node of the RabbitMQ that is installed here.
func startInstalled(ctx context.Context, o Options, m machine) (*Server, error) {
	if o.Nodes > 1 {
		return nil, fmt.Errorf("%d nodes need a Docker engine", o.Nodes)
	}
	installed, err := findInstalled(m.path)
	if err != nil {
		return nil, err
	}
	// Between finding a port free and listening on it, another process may take it.
	const tries = 3
	for try := 1; ; try++ {
		s, err := startNode(ctx, installed, o.Config)
		if err == nil {
			return s, nil
		}
		if !errors.Is(err, errPortTaken) || try == tries {
			return nil, fmt.Errorf("%s: %w", installed.server, err)
		}
	}
}
