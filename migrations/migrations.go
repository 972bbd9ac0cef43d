// Package migrations holds the schema, one folder a dialect. A file is never
// changed once it was released; the next one changes what it made.
package migrations

import (
	"embed"
	"io/fs"
)

//go:embed mysql/*.sql sqlite/*.sql
var files embed.FS

// Dialect returns the migrations of one dialect: "mysql" or "sqlite".
func Dialect(name string) (fs.FS, error) { return fs.Sub(files, name) }
