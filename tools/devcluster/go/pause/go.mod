module github.com/hearth-project/hearth/devcluster/go/pause

go 1.21
