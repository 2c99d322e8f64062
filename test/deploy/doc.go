// Package deploy checks what is in deploy/ with the programs that will read it: the
// chart with Helm and the types of Kubernetes, the rules and the dashboard with
// Prometheus, the image with a container engine. It is a module of its own, so that
// nobody who builds andon needs any of them.
//
// Its tests run by `make check-deploy`, which installs what is pinned here.
package deploy
