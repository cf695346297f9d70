printf "a,b,c\nd,e,f\n" | cut -d, -f2 | tr a-z A-Z | rev | nl
