module github.com/seed-a7c21902/andon/test/deploy

go 1.26.8

replace github.com/seed-a7c21902/andon => ../..
