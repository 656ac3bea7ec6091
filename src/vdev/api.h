/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every public header, with its functions visible to shared objects. The files that define such
 * functions include this; nothing else in the program is exported.
 */
#ifndef VDEV_API_H
#define VDEV_API_H

#pragma GCC visibility push(default)
#include <qvm/gasp.h>
#include <qvm/guest.h>
#include <qvm/hw_pci.h>
#include <qvm/log.h>
#include <qvm/outpipe.h>
#include <qvm/types.h>
#include <qvm/utils.h>
#include <qvm/vdev-core.h>
#include <qvm/vio.h>
#include <qvm/wdog.h>
#include <qvm/x/acpi.h>
#include <qvm/x/conf.h>
#include <qvm/x/cpu.h>
#include <qvm/x/fdt.h>
#include <qvm/x/feature.h>
#include <qvm/x/load.h>
#include <qvm/x/loop.h>
#include <qvm/x/model.h>
#include <qvm/x/pass.h>
#include <qvm/x/pci.h>
#include <qvm/x/pic.h>
#include <qvm/x/queue.h>
#include <qvm/x/region.h>
#include <virtio.h>
#include <vq.h>
#pragma GCC visibility pop

#endif
