// Package e2e tests the whole binary through HTTP alone: on the embedded
// default, and as two servers on MariaDB and Redis. Every answer that its tests
// see is held to openapi.yaml.
package e2e
