# The tree that overlay_table.py works on: make it in the folder $1.
mkdir -p $1; cd $1
mkdir -p a/b empty full lots seek lots2/in
echo x >lots2/old; echo one >a/one; echo deep >a/b/deep; for i in 1 2 3; do echo $i >full/$i; done
for f in f1 f2 f3 f4 u u2 u3 u4 u5 x1 e1 e2 rp h1; do echo $f >$f; done; ln h1 h2
seq 1 2000 >m; head -c 5000 /dev/zero >big; mkfifo fifo; ln -s f2 lnk
printf '#!/bin/sh\necho one $0\n' >prog; chmod 755 prog; cp /bin/true etrue
for i in $(seq 600); do : >lots/$i; : >seek/$i; done
(cd lots && seq 5000 | xargs touch)
find . -exec touch -h -d 2020-02-02 {} +
