true | false | true; echo ${PIPESTATUS[@]}; set -o pipefail; false | true; echo $?; yes | head -1 > /dev/null; echo ${PIPESTATUS[0]}
