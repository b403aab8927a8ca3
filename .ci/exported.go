// Exported counts the exported identifiers of the packages that a user imports, and fails if
// there are more than the limit given as its argument. Methods of exported types count; fields
// and the methods of interfaces do not.
package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

func main() {
	log.SetFlags(0)
	limit, err := strconv.Atoi(os.Args[1])
	if err != nil {
		log.Fatal("usage: exported LIMIT PACKAGE...")
	}
	total := 0
	for _, dir := range os.Args[2:] {
		n, err := count(dir)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%5d %s\n", n, relative(dir))
		total += n
	}
	fmt.Printf("%5d exported identifiers, limit %d\n", total, limit)
	if total > limit {
		log.Fatal("too many: remove one, or raise the limit and justify it in CHANGELOG.md")
	}
}

func relative(dir string) string {
	here, err := os.Getwd()
	if err != nil {
		return dir
	}
	if rel, err := filepath.Rel(here, dir); err == nil {
		return rel
	}
	return dir
}

func count(dir string) (n int, err error) {
	files := func(f fs.FileInfo) bool { return !strings.HasSuffix(f.Name(), "_test.go") }
	packages, err := parser.ParseDir(token.NewFileSet(), filepath.FromSlash(dir), files, 0)
	if err != nil {
		return 0, err
	}
	names := make(map[string]bool) // a file for each system may declare the same name
	for _, p := range packages {
		for _, f := range p.Files {
			for _, d := range f.Decls {
				exported(d, names)
			}
		}
	}
	return len(names), nil
}

func exported(d ast.Decl, names map[string]bool) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && ast.IsExported(receiver(d)) {
			names[receiver(d)+"."+d.Name.Name] = true
		}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.TypeSpec:
				add(names, s.Name)
			case *ast.ValueSpec:
				add(names, s.Names...)
			}
		}
	}
}

func add(names map[string]bool, idents ...*ast.Ident) {
	for _, i := range idents {
		if i.IsExported() {
			names[i.Name] = true
		}
	}
}

// receiver returns the type of a method, or "Func" for a function.
func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return "Func"
	}
	t := d.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}
