package contest

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"time"
)

// Results are all that was measured in one run.
type Results struct {
	Began   time.Time         `json:"began"`
	Ended   time.Time         `json:"ended"`
	Rounds  int               `json:"rounds"`
	Short   bool              `json:"short,omitempty"`
	Machine Machine           `json:"machine"`
	Servers map[string]string `json:"servers"` // name and version
	Modules map[string]string `json:"modules"` // path and version
	About   []About           `json:"contenders"`
	Rows    []Row             `json:"rows,omitempty"`
	Curves  []Curve           `json:"curves,omitempty"`
}

// About says what a contender is.
type About struct {
	Name     string `json:"name"`
	Server   string `json:"server"`
	Settings string `json:"settings"`
}

// A Row is one work, with the samples of all who did it.
type Row struct {
	Work    Work    `json:"work"`
	Entries []Entry `json:"entries"`
}

// An Entry is what one contender did.
type Entry struct {
	Contender string   `json:"contender"`
	Samples   []Sample `json:"samples"`
}

func newResults(o Options, contenders []Contender, running servers) *Results {
	r := &Results{
		Began:   time.Now(),
		Rounds:  o.Rounds,
		Short:   o.Short,
		Machine: thisMachine(),
		Servers: map[string]string{},
		Modules: modules(),
	}
	for name, server := range running {
		r.Servers[name] = server.Version()
	}
	for _, c := range contenders {
		r.About = append(r.About, About{c.Name, c.Server, c.About})
	}
	return r
}

// Name is that of the files of these results, without extension.
func (r *Results) Name() string {
	name := r.Began.UTC().Format("2006-01-02-1504")
	if r.Curves != nil {
		name += "-scale"
	}
	return name
}

// Write writes the samples as JSON and the tables as Markdown.
func (r *Results) Write(dir string) error {
	text, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	base := filepath.Join(dir, r.Name())
	return errors.Join(
		os.WriteFile(base+".json", append(text, '\n'), 0o644),
		os.WriteFile(base+".md", []byte(r.Markdown()), 0o644),
	)
}

// Read returns results that Write has written as JSON.
func Read(file string) (*Results, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	r := new(Results)
	return r, json.Unmarshal(text, r)
}
