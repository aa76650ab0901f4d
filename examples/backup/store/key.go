package store

import "strings"

// reserved is how no object in a directory may end: fileblob keeps metadata there.
const reserved = ".attrs"

// key is where the bytes of path are kept: at files/<path>, but for a name that ends in
// .attrs and any number of ~, which gets one ~ more. So no two paths share a key.
func key(path string) string {
	if strings.HasSuffix(strings.TrimRight(path, "~"), reserved) {
		path += "~"
	}
	return "files/" + path
}
