// SPDX-License-Identifier: Apache-2.0

// Command render-manifests renders combinations of the components of
// deploy/kubernetes as kustomize does, without a process for each of them.
//
//	render-manifests DEPLOY <combinations
//
// DEPLOY is the folder deploy/ of a checkout. Each line of standard input is a JSON
// list of components, which replaces that in DEPLOY/kubernetes/kustomization.yaml.
// Each line of standard output is a JSON list of the resources. It ends with code 1
// and the combination on standard error if kustomize refuses one.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

const folder = "/deploy/kubernetes"

// Reads the YAML files below root into memory, where kustomization.yaml can change.
func read(root string) (filesys.FileSystem, error) {
	files := filesys.MakeFsInMemory()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".yaml" {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		return files.WriteFile(filepath.Join("/deploy", name), content)
	})
	return files, err
}

// Returns the resources of the combination of components.
func render(files filesys.FileSystem, kustomization map[string]any, components []string) ([]any, error) {
	kustomization["components"] = components
	content, err := yaml.Marshal(kustomization)
	if err != nil {
		return nil, err
	}
	if err := files.WriteFile(folder+"/kustomization.yaml", content); err != nil {
		return nil, err
	}
	result, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(files, folder)
	if err != nil {
		return nil, err
	}
	var resources []any
	for _, resource := range result.Resources() {
		fields, err := resource.Map()
		if err != nil {
			return nil, err
		}
		resources = append(resources, fields)
	}
	return resources, nil
}

func run() error {
	if len(os.Args) != 2 {
		return fmt.Errorf("expected 1 argument, the folder deploy/, got %d", len(os.Args)-1)
	}
	files, err := read(os.Args[1])
	if err != nil {
		return err
	}
	content, err := files.ReadFile(folder + "/kustomization.yaml")
	if err != nil {
		return err
	}
	var kustomization map[string]any
	if err := yaml.Unmarshal(content, &kustomization); err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	output := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var components []string
		if err := json.Unmarshal(lines.Bytes(), &components); err != nil {
			return err
		}
		resources, err := render(files, kustomization, components)
		if err != nil {
			return fmt.Errorf("components %v: %w", components, err)
		}
		if err := output.Encode(resources); err != nil {
			return err
		}
	}
	return lines.Err()
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "render-manifests:", err)
		os.Exit(1)
	}
}
