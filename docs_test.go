package errand_test

import (
	"go/ast"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// pages are the Markdown files of the repository.
func pages(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".md" {
			return err
		}
		text, err := os.ReadFile(path)
		found[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 10 {
		t.Fatalf("found only %d pages: is this the root of the repository?", len(found))
	}
	return found
}

// A link in the documentation leads to a file that exists.
func TestLinksOfTheDocumentation(t *testing.T) {
	t.Parallel()
	code := regexp.MustCompile("(?s)```.*?```")
	link := regexp.MustCompile(`\]\(([^)#]+)[^)]*\)`)
	for page, text := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(text, ""), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", page, m[1], err)
			}
		}
	}
}

// Code in the documentation that claims to be a file is that file.
func TestIncludedCode(t *testing.T) {
	t.Parallel()
	include := regexp.MustCompile("(?s)<!-- include (\\S+) -->\n```go\n(.*?)```\n<!-- end -->")
	included := 0
	for page, text := range pages(t) {
		for _, m := range include.FindAllStringSubmatch(text, -1) {
			included++
			code, err := os.ReadFile(m[1])
			if err != nil || string(code) != m[2] {
				t.Errorf("%s: the code is not that of %s (%v): copy it there", page, m[1], err)
			}
		}
		if strings.Count(text, "<!-- include ") != len(include.FindAllString(text, -1)) {
			t.Errorf("%s: an include is not of the form that this test reads", page)
		}
	}
	if included == 0 {
		t.Error("nothing is included anywhere, and README.md should include its program")
	}
}

// A test that the documentation names exists.
func TestNamedTests(t *testing.T) {
	t.Parallel()
	defined := map[string]bool{}
	for _, s := range sources(t, source.isTest) {
		for _, d := range s.syntax.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				defined[f.Name.Name] = true
			}
		}
	}
	for page, text := range pages(t) {
		for _, name := range regexp.MustCompile("`(Test\\w+)`").FindAllStringSubmatch(text, -1) {
			if !defined[name[1]] {
				t.Errorf("%s names %s, which no test file defines", page, name[1])
			}
		}
	}
}

// What the documentation names of our packages exists.
func TestNamedIdentifiers(t *testing.T) {
	t.Parallel()
	exported := map[string]bool{}
	packages := map[string]bool{}
	for _, s := range sources(t, code) {
		name := s.syntax.Name.Name
		if !s.isLibrary() && s.dir != "devserver" {
			continue
		}
		packages[name] = true
		for _, d := range s.syntax.Decls {
			for _, id := range declaredBy(d) {
				exported[name+"."+id] = true
			}
		}
	}
	named := regexp.MustCompile(`\b([a-z]+)\.([A-Z]\w*)`)
	found := 0
	for page, text := range pages(t) {
		for _, m := range named.FindAllStringSubmatch(text, -1) {
			if !packages[m[1]] {
				continue
			}
			if found++; !exported[m[0]] {
				t.Errorf("%s names %s, which package %s does not have", page, m[0], m[1])
			}
		}
	}
	if found < 100 {
		t.Errorf("found only %d names of our packages in the documentation: is this test looking at it?", found)
	}
}

// declaredBy are the names that a declaration gives to its package.
func declaredBy(d ast.Decl) (names []string) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			names = append(names, d.Name.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				names = append(names, spec.Name.Name)
			case *ast.ValueSpec:
				for _, id := range spec.Names {
					names = append(names, id.Name)
				}
			}
		}
	}
	return names
}
