package errand_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// The rules of the house. They hold for every package of the module, and need no tool.

const (
	module = "github.com/errandq/errand"

	amqp    = "github.com/rabbitmq/amqp091-go"
	backoff = "github.com/cenkalti/backoff/v4"
	uuid    = "github.com/google/uuid"
)

// A place is what a package may import beside the standard library.
type place struct {
	ours   []string
	others []string
}

// library is the order of the packages that programs link, lowest first. Imports point one
// way: a package that is not named here has to find its place first.
var library = map[string]place{
	".": {},

	"retry":    {nil, []string{backoff}},
	"codec":    {},
	"topology": {},

	"internal/crew": {},

	"broker": {[]string{"retry", "topology"}, []string{amqp, backoff}},

	"job": {[]string{"broker", "codec", "topology"}, []string{uuid}},
	"rpc": {[]string{"broker", "codec", "internal/crew", "topology"}, nil},

	"producer":   {[]string{"broker", "job", "topology"}, nil},
	"worker":     {[]string{"broker", "internal/crew", "job", "retry", "topology"}, nil},
	"deadletter": {[]string{"broker", "job", "topology"}, nil},
	"schedule":   {[]string{"job"}, nil},
	"outbox":     {[]string{"job"}, nil},

	"event":       {[]string{"broker", "codec", "job", "retry", "topology", "worker"}, nil},
	"group":       {[]string{"job", "worker"}, []string{backoff}},
	"idempotency": {[]string{"job", "producer", "rpc", "worker"}, nil},
	"telemetry":   {[]string{"job", "producer", "rpc", "worker"}, nil},
	"jobtest":     {[]string{"broker", "job", "producer", "rpc", "topology", "worker"}, nil},
}

// workshop are the directories that programs do not link. They may import anything.
var workshop = []string{"bench", "cmd", "dashboard", "devserver", "examples", "integration", "scripts"}

// raw are the directories beside broker that may use amqp091-go, to compare with it.
var raw = []string{"bench", "integration"}

// A source is one Go file.
type source struct {
	path   string // with slashes, from the root
	dir    string // of path, "." for the root
	syntax *ast.File
	lines  int
}

func (s source) isTest() bool    { return strings.HasSuffix(s.path, "_test.go") }
func (s source) isLibrary() bool { return !slices.Contains(workshop, s.top()) }
func (s source) top() string     { return strings.Split(s.dir, "/")[0] }

func (s source) imports() []string {
	var paths []string
	for _, i := range s.syntax.Imports {
		if p, err := strconv.Unquote(i.Path.Value); err == nil {
			paths = append(paths, p)
		}
	}
	return paths
}

var (
	positions = token.NewFileSet()
	house     = sync.OnceValues(readHouse)
)

func readHouse() ([]source, error) {
	var all []source
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata"):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(name) != ".go":
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		syntax, err := parser.ParseFile(positions, name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		slashed := filepath.ToSlash(name)
		all = append(all, source{slashed, path.Dir(slashed), syntax, strings.Count(string(text), "\n")})
		return nil
	})
	return all, err
}

// sources are the files that match.
func sources(t *testing.T, match func(source) bool) []source {
	t.Helper()
	all, err := house()
	if err != nil {
		t.Fatal(err)
	}
	var found []source
	for _, s := range all {
		if match(s) {
			found = append(found, s)
		}
	}
	if len(found) == 0 {
		t.Fatal("no file is looked at")
	}
	return found
}

func code(s source) bool        { return !s.isTest() }
func everything(source) bool    { return true }
func libraryCode(s source) bool { return s.isLibrary() && !s.isTest() }

func TestModulePath(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if first, _, _ := strings.Cut(string(text), "\n"); first != "module "+module {
		t.Errorf("go.mod begins with %q, want module %s: users import by this path", first, module)
	}
}

func TestImportsPointOneWay(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t, libraryCode) {
		may, known := library[s.dir]
		if !known {
			t.Errorf("%s: package %s has no place in the table of this file: give it one, and the reason in docs/decisions", s.path, s.dir)
			continue
		}
		for _, p := range s.imports() {
			ours, inside := strings.CutPrefix(p, module+"/")
			switch {
			case inside && !slices.Contains(may.ours, ours):
				t.Errorf("%s imports %s, want only %q of ours: a package that knows those above it can't be used or read alone", s.path, ours, may.ours)
			case !inside && strings.Contains(strings.Split(p, "/")[0], ".") && !slices.Contains(may.others, p):
				t.Errorf("%s imports %s: what users' programs link needs a decision first", s.path, p)
			}
		}
	}
}

func TestTableHasNoCircles(t *testing.T) {
	t.Parallel()
	var visit func(dir string, above []string)
	visit = func(dir string, above []string) {
		if slices.Contains(above, dir) {
			t.Errorf("%s imports itself by way of %q", dir, above)
			return
		}
		for _, below := range library[dir].ours {
			if _, known := library[below]; !known {
				t.Errorf("%s may import %s, which has no place in the table", dir, below)
			}
			visit(below, append(slices.Clone(above), dir))
		}
	}
	for dir := range library {
		visit(dir, nil)
	}
}

func TestOnlyBrokerKnowsTheClientLibrary(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t, everything) {
		if s.dir != "broker" && !slices.Contains(raw, s.top()) && slices.Contains(s.imports(), amqp) {
			t.Errorf("%s imports %s: connections, channels and their errors are broker's alone to get right", s.path, amqp)
		}
	}
}

func TestLibraryDoesNotOwnTheProcess(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t, libraryCode) {
		for _, p := range s.imports() {
			if p == "testing" && s.dir == "jobtest" {
				continue // programs do not link it, their tests do
			}
			if p == "log" || p == "flag" || p == "os/signal" || p == "testing" {
				t.Errorf("%s imports %s: signals, flags and the global logger are the program's", s.path, p)
			}
		}
		ast.Inspect(s.syntax, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && sel.Sel.Name == "Exit" {
				if x, ok := sel.X.(*ast.Ident); ok && x.Name == "os" {
					t.Errorf("%s calls os.Exit: ending is the program's", positions.Position(n.Pos()))
				}
			}
			return true
		})
	}
}

func TestPackagesAreNamedByWhatTheyMean(t *testing.T) {
	t.Parallel()
	dumps := []string{"util", "utils", "common", "helper", "helpers", "types", "misc", "shared", "lib", "pkg"}
	for _, s := range sources(t, everything) {
		for _, name := range append(strings.Split(s.dir, "/"), s.syntax.Name.Name) {
			if slices.Contains(dumps, name) {
				t.Errorf("%s: a package %s collects what has no meaning in common: put each thing with the code that gives it one", s.path, name)
			}
		}
	}
}

func TestFilesReadInOneSitting(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t, everything) {
		most := 500
		if s.isTest() {
			most = 800
		}
		if s.lines > most {
			t.Errorf("%s has %d lines, want at most %d: it holds more than one concept", s.path, s.lines, most)
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	t.Parallel()
	comments := map[string][]string{} // of each directory
	for _, s := range sources(t, code) {
		texts := comments[s.dir]
		if text := s.syntax.Doc.Text(); text != "" {
			texts = append(texts, text)
		}
		comments[s.dir] = texts
	}
	for dir, texts := range comments {
		if len(texts) != 1 {
			t.Errorf("%s has %d package comments, want one", dir, len(texts))
			continue
		}
		first, _, _ := strings.Cut(texts[0], " ")
		if first != "Package" && first != "Command" && !strings.EqualFold(first, path.Base(dir)) {
			t.Errorf("%s: its package comment begins with %q, want Package, Command, or the command's name", dir, first)
		}
		if n := strings.Count(texts[0], "\n"); n > 60 {
			t.Errorf("%s: its package comment has %d lines, want at most 60: the rest belongs into docs", dir, n)
		}
	}
}

func TestEveryExportedNameIsDocumented(t *testing.T) {
	t.Parallel()
	documented := func(s source) bool { return code(s) && (s.isLibrary() || s.top() == "devserver") }
	for _, s := range sources(t, documented) {
		for _, d := range s.syntax.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && (d.Recv == nil || ast.IsExported(receiver(d))) {
					begins(t, d.Doc, d.Name)
				}
			case *ast.GenDecl:
				documentedGroup(t, d)
			}
		}
	}
}

// documentedGroup checks the types, constants or variables of one declaration. What stands
// in a group that has a comment may do without its own, as the values of an enumeration do.
func documentedGroup(t *testing.T, d *ast.GenDecl) {
	t.Helper()
	grouped := d.Lparen.IsValid() && d.Doc.Text() != ""
	for _, spec := range d.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			doc := spec.Doc
			if doc == nil {
				doc = d.Doc
			}
			if spec.Name.IsExported() {
				begins(t, doc, spec.Name)
			}
		case *ast.ValueSpec:
			doc := spec.Doc
			if doc == nil && !d.Lparen.IsValid() {
				doc = d.Doc
			}
			for _, name := range spec.Names {
				if name.IsExported() && (doc != nil || !grouped) {
					begins(t, doc, name)
				}
			}
		}
	}
}

// begins checks that a comment begins with the name, or with an article and the name.
func begins(t *testing.T, doc *ast.CommentGroup, name *ast.Ident) {
	t.Helper()
	words := strings.Fields(doc.Text())
	if len(words) > 1 && slices.Contains([]string{"A", "An", "The"}, words[0]) {
		words = words[1:]
	}
	if len(words) == 0 || strings.TrimRight(words[0], ":,'s") != strings.TrimRight(name.Name, "s") {
		t.Errorf("%s: %s has no comment that begins with its name", positions.Position(name.Pos()), name.Name)
	}
}

// receiver is the name of a method's type.
func receiver(d *ast.FuncDecl) string {
	x := d.Recv.List[0].Type
	for {
		switch y := x.(type) {
		case *ast.StarExpr:
			x = y.X
		case *ast.IndexExpr:
			x = y.X
		case *ast.Ident:
			return y.Name
		default:
			return ""
		}
	}
}

func TestNothingHappensOnImport(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t, everything) {
		for _, d := range s.syntax.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s: an init function: importing a package must not change the process", positions.Position(f.Pos()))
			}
		}
	}
}

func TestLibraryKeepsNoState(t *testing.T) {
	t.Parallel()
	interfaces := map[string]bool{".error": true}
	for _, s := range sources(t, libraryCode) {
		ast.Inspect(s.syntax, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok {
				if _, ok := spec.Type.(*ast.InterfaceType); ok {
					interfaces[s.dir+"."+spec.Name.Name] = true
				}
			}
			return true
		})
	}
	for _, s := range sources(t, libraryCode) {
		for _, d := range s.syntax.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, spec := range g.Specs {
				if v := spec.(*ast.ValueSpec); !isConstant(v, s.dir, interfaces) {
					t.Errorf("%s: variable %s is state of the package: put it into what New returns", positions.Position(v.Pos()), v.Names[0].Name)
				}
			}
		}
	}
}

// isConstant reports whether a variable is one only because Go has no constants of its type:
// an error, a value behind an interface of its package, or a check that a type implements one.
func isConstant(v *ast.ValueSpec, dir string, interfaces map[string]bool) bool {
	if v.Names[0].Name == "_" {
		return true
	}
	if name, ok := v.Type.(*ast.Ident); ok {
		return interfaces[dir+"."+name.Name] && len(v.Values) > 0
	}
	for _, value := range v.Values {
		switch x := value.(type) {
		case *ast.CallExpr:
			if fun := fmt.Sprint(x.Fun); fun != "&{errors New}" && fun != "&{fmt Errorf}" {
				return false
			}
		case *ast.SelectorExpr: // another package's error
			if !strings.HasPrefix(x.Sel.Name, "Err") {
				return false
			}
		default:
			return false
		}
	}
	return v.Type == nil && len(v.Values) > 0
}

// Packages that start goroutines show in their tests that they wait for them.
func TestGoroutinesAreWaitedFor(t *testing.T) {
	t.Parallel()
	leaks := map[string]bool{}
	for _, s := range sources(t, source.isTest) {
		if slices.Contains(s.imports(), "go.uber.org/goleak") {
			leaks[s.dir] = true
		}
	}
	for _, s := range sources(t, libraryCode) {
		if place := library[s.dir]; len(place.ours) > 0 && !leaks[s.dir] {
			t.Errorf("%s: the tests of package %s do not call goleak.VerifyTestMain", s.path, s.dir)
		}
	}
}
