cat > Makefile <<"X"
all: a b
	@echo all done
a b:
	@echo making $@; touch $@
.PHONY: all
X
make; make; make -j2 -B | sort; make nosuch; echo $?
