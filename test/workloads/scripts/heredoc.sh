cat <<X
user $(id -un)
sum $((1+2))
X
cat <<-"Y"
	literal $HOME
	Y
Y
