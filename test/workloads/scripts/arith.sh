echo $((6*7)); expr 3 + 4; echo "scale=10; 4*a(1)" | bc -l
