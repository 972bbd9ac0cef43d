package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// Measured is what the newest run of each scenario came to. The list of aims and
// the capacity sheet are computed from it, so that one scenario can be measured
// again without the others.
type Measured struct {
	Machine   string
	Scenarios map[string]Figures // by the scenario's key
}

// Figures are those of one scenario.
type Figures struct {
	When   string // day
	Values map[string]float64
}

// value is one figure, and whether there is one.
func (m Measured) value(scenario, name string) (float64, bool) {
	v, found := m.Scenarios[scenario].Values[name]
	return v, found
}

// Files below the documents' folder.
const (
	figuresFile     = "performance.json"
	performancePage = "performance.md"
	capacityPage    = "capacity.md"
	pictureFile     = "performance.svg"
)

// readMeasured reads what is known; without a folder that is nothing.
func readMeasured(dir string) (Measured, error) {
	m := Measured{Scenarios: map[string]Figures{}}
	if dir == "" {
		return m, nil
	}
	text, err := os.ReadFile(filepath.Join(dir, figuresFile)) //nolint:gosec // the caller's folder
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	return m, err
}

func (m Measured) write(dir string) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, figuresFile), string(text)+"\n")
}

func writeFile(path, text string) error {
	return os.WriteFile(path, []byte(text), 0o644) //nolint:gosec // documents are for everybody
}

// A page is written by hand but for what stands between two comments:
//
//	<!-- measured: key -->
//	…
//	<!-- end: key -->
func marks(key string) (begin, end string) {
	return "<!-- measured: " + key + " -->\n", "<!-- end: " + key + " -->\n"
}

// between returns what stands on the page under the key.
func between(page, key string) (before, inside, after string, err error) {
	begin, end := marks(key)
	before, rest, found := strings.Cut(page, begin)
	if found {
		inside, after, found = strings.Cut(rest, end)
	}
	if !found {
		return "", "", "", fmt.Errorf("the page has no place %q", strings.TrimSpace(begin))
	}
	return before + begin, inside, end + after, nil
}

// replace puts text on a page under the key.
func replace(path, key, text string) error {
	page, err := os.ReadFile(path) //nolint:gosec // one of ours
	if err != nil {
		return err
	}
	before, _, after, err := between(string(page), key)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return writeFile(path, before+"\n"+text+"\n"+after)
}

// publish takes down what the scenario came to, and with -write puts it into the
// documents at once: should a later scenario fail, it is not lost.
func (b *bench) publish(s scenario) {
	b.measured.Scenarios[s.key] = Figures{When: time.Now().UTC().Format(time.DateOnly), Values: b.values}
	text := b.text.String()
	b.sayf("\n%s\n", text)
	b.text.Reset()
	b.values = map[string]float64{}
	if b.docs == "" {
		return
	}
	b.measured.Machine = b.machine()
	b.must(b.measured.write(b.docs))
	path := filepath.Join(b.docs, performancePage)
	b.must(replace(path, s.key, text))
	b.must(b.measured.render(b.docs))
}

// render writes what is computed from the figures: the machine, the aims, and
// the capacity sheet.
func (m Measured) render(dir string) error {
	path := filepath.Join(dir, performancePage)
	return errors.Join(
		replace(path, "machine", m.Machine+"\n"),
		replace(path, "aims", m.aims()),
		replace(filepath.Join(dir, capacityPage), "capacity", m.capacity()),
	)
}

// machine says on what the run is.
func (b *bench) machine() string {
	var maria, redis string
	if b.maria != nil {
		b.must(b.openSQL(b.maria.DSN("")).QueryRowContext(b.ctx, "SELECT VERSION()").Scan(&maria))
	}
	redis = strings.TrimPrefix(firstWordWith(string(b.runToEnd("redis-server", "--version")), "v="), "v=")
	memory, err := os.ReadFile("/proc/meminfo")
	b.must(err)
	var kB int64
	_, _ = fmt.Sscanf(string(memory), "MemTotal: %d kB", &kB)
	return fmt.Sprintf("%d processors (%s), %d GiB, which also carry the load; %s/%s, %s, MariaDB %s, Redis %s.",
		runtime.NumCPU(), processor(), (kB+1<<19)>>20, runtime.GOOS, runtime.GOARCH, "Go "+strings.TrimPrefix(runtime.Version(), "go"), maria, redis)
}

func firstWordWith(text, prefix string) string {
	for word := range strings.FieldsSeq(text) {
		if strings.HasPrefix(word, prefix) {
			return word
		}
	}
	return ""
}

// processor is its name, as Linux has it.
func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	_, rest, _ := strings.Cut(string(text), "model name")
	name, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(strings.TrimLeft(name, "\t :"))
}
