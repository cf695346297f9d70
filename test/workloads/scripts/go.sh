export GOCACHE=/tmp/gc GOFLAGS=-mod=mod HOME=/tmp; mkdir m; cd m; cat > main.go <<"X"
package main
import ("fmt"; "sync")
func main(){ var wg sync.WaitGroup; var mu sync.Mutex; s:=0; for i:=0;i<100;i++{ wg.Add(1); go func(i int){defer wg.Done(); mu.Lock(); s+=i; mu.Unlock()}(i)}; wg.Wait(); fmt.Println("sum", s)}
X
go mod init m 2>/dev/null; go build -o p . && ./p
