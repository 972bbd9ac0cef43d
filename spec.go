package main

import _ "embed"

//go:embed openapi.yaml
var openapi []byte
