# Read by U-Boot, as boot.scr, from the FAT partition: takes the first slot of BOOT_ORDER that has tries left, counts one down, and starts
# the system in it. RAUC, in a system that works, sets the count up again. Where no slot has tries left, all get three: better a system that
# fails than none.
#
# The three variables lie in two copies of 16 KiB in the gap before the first partition (image/environment.py, /etc/fw_env.config), each with
# a CRC of four bytes, a number of one byte, and the text. The copy that is older is overwritten: a power cut leaves the other.

if test "${board}" = rpi; then
  # Debian's kernel would reach into where U-Boot puts an initramfs; at 0x08000000 there may be the device tree.
  setenv ramdisk_addr_r 0x0a000000
fi
setexpr copy_a ${ramdisk_addr_r} + 0x10000
setexpr copy_b ${ramdisk_addr_r} + 0x20000
setexpr plain ${ramdisk_addr_r} + 0x30000
setexpr plain_text ${plain} + 4

# U-Boot knows copies without a number: it is taken out, and put in again.
setenv handset_take 'setexpr number_at ${copy} + 4; setexpr text_at ${copy} + 5; cp.b ${copy} ${plain} 4; cp.b ${text_at} ${plain_text} 0x3ffb; env import -c ${plain} 0x3fff BOOT_ORDER BOOT_A_LEFT BOOT_B_LEFT'
setenv handset_put 'setexpr number_at ${copy} + 4; setexpr text_at ${copy} + 5; env export -c -s 0x3fff ${plain} BOOT_ORDER BOOT_A_LEFT BOOT_B_LEFT; cp.b ${plain} ${copy} 4; mw.b ${number_at} ${number}; cp.b ${plain_text} ${text_at} 0x3ffb; ${devtype} write ${copy} ${sector} 0x20'
setenv handset_save 'setexpr number ${number} + 1; if test 0x${number} -gt 0xff; then setenv number 0; fi; if test ${newer} = a; then setenv newer b; setenv copy ${copy_b}; setenv sector 0x800; else setenv newer a; setenv copy ${copy_a}; setenv sector 0x400; fi; run handset_put'

${devtype} dev ${devnum}
setenv newer none
setenv number 0
setenv number_a none
if ${devtype} read ${copy_a} 0x400 0x20; then
  setenv copy ${copy_a}
  if run handset_take; then
    setexpr.b number_a *${number_at}
    setenv newer a
    setenv number ${number_a}
  fi
fi
if ${devtype} read ${copy_b} 0x800 0x20; then
  setenv copy ${copy_b}
  if run handset_take; then
    setexpr.b number_b *${number_at}
    setenv later no
    if test ${number_a} = none; then
      setenv later yes
    elif test 0x${number_a} -eq 0xff && test 0x${number_b} -eq 0; then
      setenv later yes
    elif test 0x${number_b} -gt 0x${number_a}; then
      setenv later yes
      if test 0x${number_b} -eq 0xff && test 0x${number_a} -eq 0; then
        setenv later no
      fi
    fi
    if test ${later} = yes; then
      setenv newer b
      setenv number ${number_b}
    else
      setenv copy ${copy_a}
      run handset_take
    fi
  fi
fi
if test -z "${BOOT_ORDER}"; then setenv BOOT_ORDER "A B"; fi
if test -z "${BOOT_A_LEFT}"; then setenv BOOT_A_LEFT 3; fi
if test -z "${BOOT_B_LEFT}"; then setenv BOOT_B_LEFT 3; fi

# The words that the firmware read from cmdline.txt, and those that lead to the slot.
setenv handset_words
if test -n "${fdt_addr}"; then
  fdt addr ${fdt_addr}
  fdt get value handset_words /chosen bootargs
fi
setenv handset_start 'setenv bootargs "${handset_words} root=PARTUUID=48414e44-0${part} rauc.slot=${slot}"; echo "handset: slot ${slot}, tries left A ${BOOT_A_LEFT} B ${BOOT_B_LEFT}: ${bootargs}"; if load ${devtype} ${devnum}:${part} ${kernel_addr_r} /boot/vmlinuz && load ${devtype} ${devnum}:${part} ${ramdisk_addr_r} /boot/initrd.img; then booti ${kernel_addr_r} ${ramdisk_addr_r}:${filesize} ${fdt_addr}; fi; echo "handset: slot ${slot} does not start"'

for round in 1 2; do
  for slot in ${BOOT_ORDER}; do
    if test ${slot} = A; then
      if test 0x${BOOT_A_LEFT} -gt 0; then
        setexpr BOOT_A_LEFT ${BOOT_A_LEFT} - 1
        run handset_save
        setenv part 2
        run handset_start
        setenv BOOT_A_LEFT 0
      fi
    elif test ${slot} = B; then
      if test 0x${BOOT_B_LEFT} -gt 0; then
        setexpr BOOT_B_LEFT ${BOOT_B_LEFT} - 1
        run handset_save
        setenv part 3
        run handset_start
        setenv BOOT_B_LEFT 0
      fi
    fi
  done
  echo "handset: no slot has tries left; all get three"
  setenv BOOT_ORDER "A B"
  setenv BOOT_A_LEFT 3
  setenv BOOT_B_LEFT 3
  run handset_save
done
echo "handset: nothing on this card starts"
sleep 10
reset
