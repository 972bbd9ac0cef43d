package config

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/viper"
)

// DefaultFile is read from the working directory if it is there and no other
// file was named.
const DefaultFile = "config.yaml"

// Load reads the file at path and, over it, the variables in env, which has
// the form of os.Environ. With an empty path the file is DefaultFile, and need
// not exist. An empty variable counts as not set, and so does an empty value in
// the file. The error names every fault of the configuration, one on a line.
func Load(path string, env []string) (Config, error) {
	var c Config
	keys := keysOf(&c)
	v := viper.New()
	for _, k := range keys {
		v.SetDefault(k.name, k.def)
	}
	if err := readFile(v, path); err != nil {
		return Config{}, err
	}
	found := unknownKeys(v, keys)
	overlay(v, keys, env)
	for _, k := range keys {
		found = append(found, k.load(v.Get(k.name))...)
	}
	return c, found.add(crossFaults(&c)).err()
}

// Validate names every fault of the values, one on a line. Load has done it
// already; it is for a Config made or changed by a program.
func (c Config) Validate() error {
	var found faults
	for _, k := range keysOf(&c) {
		found = append(found, k.check()...)
	}
	return found.add(crossFaults(&c)).err()
}

func readFile(v *viper.Viper, path string) error {
	optional := path == ""
	if optional {
		path = DefaultFile
	}
	if _, err := os.Stat(path); optional && errors.Is(err, os.ErrNotExist) {
		return nil
	}
	v.SetConfigFile(path)
	v.SetConfigType("yaml")
	if err := v.ReadInConfig(); err != nil {
		return fmt.Errorf("read the configuration %s: %w", path, err)
	}
	return nil
}

// unknownKeys finds what the file sets and nobody reads. Its values are not
// repeated: a misspelt secret is still a secret.
func unknownKeys(v *viper.Viper, keys []key) faults {
	var found faults
	for _, name := range v.AllKeys() {
		if !slices.ContainsFunc(keys, func(k key) bool { return k.name == name }) {
			found = append(found, name+": there is no such key")
		}
	}
	slices.Sort(found)
	return found
}

// overlay puts the variables above the file. It asks for each key by name, for
// viper itself would only look into the environment of the process.
func overlay(v *viper.Viper, keys []key, env []string) {
	set := make(map[string]string, len(env))
	for _, pair := range env {
		name, value, _ := strings.Cut(pair, "=")
		set[name] = value
	}
	for _, k := range keys {
		if value := set[k.env()]; value != "" {
			v.Set(k.name, value)
		}
	}
}

// load sets the field from a value of the file, the environment or the
// defaults, and returns what is wrong with it. A field that cannot be read
// keeps its default, so that it is not blamed for a second fault.
func (k *key) load(raw any) faults {
	text, ok := k.textOf(raw)
	switch {
	case !ok:
		k.read(k.def)
		return k.fault(fmt.Sprint(raw), k.formHint())
	case !k.read(text):
		k.read(k.def)
		return k.fault(text, "")
	}
	return k.check()
}

// textOf turns what YAML made of a value back into text. false: it was of a
// kind that the key does not take.
func (k *key) textOf(raw any) (text string, ok bool) {
	switch value := raw.(type) {
	case nil:
		return k.def, true
	case string:
		return value, true
	case int:
		return strconv.Itoa(value), k.form == scalar
	case bool:
		return strconv.FormatBool(value), k.form == scalar
	case []any:
		parts := make([]string, len(value))
		for i, part := range value {
			if parts[i], ok = part.(string); !ok {
				return "", false
			}
		}
		return strings.Join(parts, ","), k.form == listed
	}
	return "", false
}

func (k *key) formHint() string {
	switch k.form {
	case quoted:
		return ", in quotes"
	case listed:
		return ", each in quotes"
	case scalar:
	}
	return ""
}

func (k *key) check() faults {
	if k.valid() {
		return nil
	}
	return k.fault(k.show(), "")
}

func (k *key) fault(value, hint string) faults {
	if k.secret {
		value = hidden
	}
	return faults{k.name + " = " + strconv.Quote(value) + ": must be " + k.allowed + hint}
}

// crossFaults finds values that are allowed each, but not together.
func crossFaults(c *Config) faults {
	var found faults
	if c.HTTP.RequestTimeout > c.HTTP.WriteTimeout {
		found = append(found, fmt.Sprintf("http.request_timeout = %q: must be at most http.write_timeout (%s), or no answer is sent",
			c.HTTP.RequestTimeout, c.HTTP.WriteTimeout))
	}
	if claims := max(c.Claims.Timeout, c.HTTP.TimeoutsByRoute()["/v1/claims"]); c.Jobs.SettleAfter <= claims {
		found = append(found, fmt.Sprintf("jobs.settle_after = %q: must be more than claims.timeout (%s), or a claim is settled while it is being made",
			c.Jobs.SettleAfter, claims))
	}
	if len(c.Redis.Addrs) > 1 && c.Redis.DB != 0 {
		found = append(found, fmt.Sprintf("redis.db = \"%d\": must be 0 with several redis.addrs, for a cluster has no other", c.Redis.DB))
	}
	return found
}

// faults is what is wrong, a line each.
type faults []string

func (f faults) add(more faults) faults { return append(f, more...) }

func (f faults) err() error {
	if len(f) == 0 {
		return nil
	}
	return errors.New("the configuration is faulty:\n  " + strings.Join(f, "\n  "))
}
