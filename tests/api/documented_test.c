/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every name of the documented vdev API with its documented type and, where it is known, its value:
 * the inventory that include/ is held to. Built twice, as 8.0 and with QVM_VDEV_API 71. That it
 * builds is the test of types; that it links, of the functions; running it names each of them.
 * Functions whose arguments the documents do not give are in the second list.
 */
#include <stdio.h>
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
#include <virtio.h>
#include <vq.h>

#define SAME(a, b)		   _Static_assert(__builtin_types_compatible_p(a, b), #a)
#define VALUE(name, number)	   _Static_assert((unsigned)(name) == (number), #name)
#define FIELD(type, field, wanted) SAME(__typeof__(((type *)0)->field), wanted)
#define OLD			   (QVM_VDEV_API < 80)

typedef struct guest_cpu *cpu_t;
typedef const struct qvm_state_block *block_t;

/* Registration and factory. */
typedef vdev_ref_status_t ref_t(vdev_t *, unsigned, block_t, block_t, struct guest_cpu *);
FIELD(struct vdev_factory, next, struct vdev_factory *);
#if OLD
FIELD(struct vdev_factory, control, int (*)(vdev_t *, unsigned, const char *));
#else
FIELD(struct vdev_factory, control, int (*)(vdev_t *, vdev_ctrl_options_t, const char *));
#endif
FIELD(struct vdev_factory, vread, ref_t *);
FIELD(struct vdev_factory, vwrite, ref_t *);
FIELD(struct vdev_factory, pulse, int (*)(vdev_t *, int8_t));
FIELD(struct vdev_factory, timer,
      void (*)(vdev_t *, void *, const struct guest_timer_data *, struct guest_cpu *));
FIELD(struct vdev_factory, pic, const struct vdev_pic_functions *);
FIELD(struct vdev_factory, option_list, const char *const *);
FIELD(struct vdev_factory, name, const char *);
FIELD(struct vdev_factory, factory_flags, unsigned);
FIELD(struct vdev_factory, acc_sizes, unsigned);
FIELD(struct vdev_factory, extra_space, unsigned);
FIELD(struct vdev_factory, safety, unsigned);
VALUE(VFF_NONE, 0);
VALUE(VFF_INTR_NO, 0x2);
VALUE(VFF_INTR_REQ, 0x4);
VALUE(VFF_INTR_NONPCI, 0x8);
VALUE(VFF_LOC_NO, 0x10);
VALUE(VFF_VDEV_MEM, 0x20);
VALUE(VFF_VDEV_X86_IO, 0x40);
VALUE(VFF_VDEV_PCI, 0x80);
VALUE(VFF_VDEV_LOC_TYPES, 0xe0);
VALUE(VFF_MUTEX, 0x100);
VALUE(VFF_MUTEX_RECURSIVE, 0x200);
VALUE(VFF_RC, 0x400);
VALUE(VFF_MANUAL_REGION, 0x800);
_Static_assert(sizeof(QVM_OPTION_NO_ARG_PREFIX "x") == 3, "a string");
_Static_assert(QVM_VDEV_ABI != 0, "a number");
VALUE(VDEV_SAFETY_SELECTED, VDEV_SAFETY_SELECTED);

/* vdev_t. */
SAME(vdev_t, struct vdev_s);
FIELD(vdev_t, v_device, void *);
FIELD(vdev_t, v_factory, const struct vdev_factory *);
FIELD(vdev_t, v_block, struct qvm_state_block);
FIELD(vdev_t, v_intr, guest_intr_t);
FIELD(vdev_t, v_mtx, pthread_mutex_t);
FIELD(vdev_t, v_sched, struct qvm_sched_info);
#if OLD
FIELD(vdev_t, v_gsp, struct guest_system *);
#endif

/* Reasons of control calls. */
VALUE(VDEV_CTRL_OPTIONS_START, 0);
VALUE(VDEV_CTRL_OPTIONS_END, 1);
VALUE(VDEV_CTRL_GUEST_CONFIGURED, 2);
VALUE(VDEV_CTRL_BOOTUP, 2);
VALUE(VDEV_CTRL_TERMINATE, 3);
VALUE(VDEV_CTRL_STATUS, 4);
VALUE(VDEV_CTRL_GEN_ACPI, 5);
VALUE(VDEV_CTRL_GEN_FDT, 6);
VALUE(VDEV_CTRL_BUTTON, 7);
enum {
	ours = VDEV_CTRL_ASSIGN + VDEV_CTRL_GUEST_STARTING + VDEV_CTRL_PCI_BARS +
	       VDEV_CTRL_FIRST_OPTIDX
};

/* State blocks. */
FIELD(struct qvm_state_block, location, uint64_t);
FIELD(struct qvm_state_block, length, uint64_t); /* 7.x: 32 bits */
#if OLD
FIELD(struct qvm_state_block, type, qvm_state_types_t);
FIELD(struct qvm_state_block, flags, qvm_state_flags_t);
FIELD(struct gasp_region, flags, uint32_t);
#else
FIELD(struct qvm_state_block, qst_type, qvm_state_types_t);
FIELD(struct qvm_state_block, qst_flags, qvm_state_flags_t);
FIELD(struct gasp_region, grf_flags, gasp_region_flags_t);
#endif
FIELD(struct qvm_state_block, spare, uint32_t);
SAME(qvm_state_types_t, enum qvm_state_types);
VALUE(QST_MEMORY, 0);
VALUE(QST_VIRTUAL, 1);
VALUE(QST_CPUREGS, 2);
VALUE(QST_FPUREGS, 3);
VALUE(QST_HOST, 4);
VALUE(QST_PCI, 5);
VALUE(QST_PCI_IO, 6);
VALUE(QST_IMMEDIATE, 7);
VALUE(QST_ARCH_SPECIFIC, 0x8000);
VALUE(QST_X86_IO, 0x8000);
VALUE(QST_X86_SEGREGS, 0x8001);
VALUE(QST_X86_CTRLREGS, 0x8002);
VALUE(QST_X86_DBGREGS, 0x8003);
VALUE(QST_X86_MSR, 0x8004);
VALUE(QST_ARM_SR, 0x8000);
VALUE(QST_NO_TYPE, 0xffff);
_Static_assert(QSL_NO_LOCATION > 0 && QSL_PCI_MAKE_LOC(1, 2, 3, 4) != 0, "numbers");

/* What vread and vwrite return. */
SAME(vdev_ref_status_t, enum vdev_ref_status);
VALUE(VRS_NORMAL, 0);
VALUE(VRS_NO_ADVANCE, 1);
VALUE(VRS_ABORT, 2);
VALUE(VRS_BUS_ERROR, 3);
VALUE(VRS_CONTINUE, 4);
VALUE(VRS_TERMINATE, 5);
VALUE(VRS_ERRNO, 0x100);

/* guest.h. */
FIELD(struct guest_intr, pic, vdev_t *);
FIELD(struct guest_intr, param, unsigned);
FIELD(struct guest_intr, src_id, unsigned);
VALUE(GIS_ON, 1);
VALUE(GIS_OFF, 2);
VALUE(GIS_ISR, 4);
VALUE(GIN_UNMASK, 1);
VALUE(GIN_ACK, 2);
SAME(guest_intr_notifications_t, uint32_t);
VALUE(GXF_NONE, 0);
VALUE(GXF_PAUSE, 1);
VALUE(GXF_UNPAUSE, 2);
VALUE(GXF_ASYNC, 4);
VALUE(GXF_GDB, 8);
VALUE(GXF_FLUSH, 0x10);
FIELD(struct guest_timer_data, host_notify_start, uint64_t);
FIELD(struct guest_timer_data, host_current, uint64_t);
FIELD(struct guest_timer_data, guest_notify_start, uint64_t);
FIELD(struct guest_timer_data, guest_current, uint64_t);
SAME(guest_instr_callback_func_t,
     vdev_ref_status_t(vdev_t *, struct guest_cpu *, guest_instr_type_t, unsigned));
SAME(guest_msi_deliver_func_t, void(vdev_t *, const vdev_t *, uint64_t, unsigned, unsigned));
enum { instructions = GIT_FLAG_NO_QUALIFIER + GIT_X86_RDMSR + GIT_ARM_SMC };
enum { causes = GTC_NORMAL_EXIT + GTC_CUSTOM_MIN + GPSC_WAIT + GPSC_OFF };
VALUE(GTC_NORMAL_EXIT, 0);
VALUE(GTC_CUSTOM_MIN, 32);

/* Interrupt controllers. */
FIELD(struct vdev_pic_functions, flags, unsigned);
FIELD(struct vdev_pic_functions, pnum_mask, unsigned);
FIELD(struct vdev_pic_functions, signal, int (*)(const struct guest_intr *, guest_intr_state_t));
FIELD(struct vdev_pic_functions, notify,
      void (*)(const struct guest_intr *, guest_intr_notifications_t));
FIELD(struct vdev_pic_functions, parse, const char *(*)(struct guest_intr *, const char *));
FIELD(struct vdev_pic_functions, string, size_t (*)(const struct guest_intr *, char *, size_t));
FIELD(struct vdev_pic_functions, table_spec,
      ssize_t (*)(const struct guest_intr *, enum guest_table_spec_component, void *, size_t));

/* gasp.h. */
FIELD(struct gasp_region, cookie, uint32_t);
FIELD(struct gasp_region, vdev, vdev_t *);
FIELD(struct gasp_region, host_location, uint64_t);
FIELD(struct gasp_region, guest, struct qvm_state_block);
FIELD(gasp_map_handle_t, reserved[2], uint64_t);
VALUE(GRF_NONE, 0);
VALUE(GRF_VIRT_RD, 1);
VALUE(GRF_VIRT_WR, 2);
VALUE(GRF_VIRT_EX, 4);
VALUE(GRF_VIRT_ANY, 7);
VALUE(GRF_PASS_RD, 8);
VALUE(GRF_PASS_WR, 0x10);
VALUE(GRF_PASS_EX, 0x20);
VALUE(GRF_PASS_ANY, 0x38);
VALUE(GRF_NOCACHE, 0x40);
VALUE(GRF_ACTIVE, 0x80);
VALUE(GRF_MEMORY, 0x100);
VALUE(GRF_PASSTHRU, 0x200);
VALUE(GRF_DMA_USES, 0x400);
VALUE(GRF_DMA_NO_USE, 0x800);
VALUE(GRF_DMA_SOURCE, 0x1000);
VALUE(GRF_DMA_TARGET, 0x2000);
VALUE(GRF_PRECIOUS, 0x4000);
VALUE(GRF_NOPERMS, 0x8000);
VALUE(GRF_BACKUP_MASK, 0xf0000000);
VALUE(GRF_BACKUP_SHIFT, 25);
VALUE(GRF_STICKY, 0x3300);
enum { mappings = GMF_READ + GMF_WRITE + GMF_MAP_ANY + GRAM_HINT_NONE + GWS_HOST };
#if OLD
typedef struct gasp_walk_state walk_t;
FIELD(walk_t, guest_loc, uint64_t);
FIELD(walk_t, host_loc, uint64_t);
FIELD(walk_t, length, uint64_t);
FIELD(walk_t, max_length, uint64_t);
FIELD(walk_t, flags, unsigned);
#else
typedef gasp_walk_state_t walk_t;
FIELD(walk_t, gw_span, void *);
FIELD(walk_t, gw_guest_loc, uint64_t);
FIELD(walk_t, gw_host_loc, uint64_t);
FIELD(walk_t, gw_length, uint64_t);
FIELD(walk_t, gw_max_length, uint64_t);
FIELD(walk_t, gwf_flags, gasp_walk_flags_t);
#endif

/* vio.h, vq.h, virtio.h, hw_pci.h. */
FIELD(struct vio_description, device_type, uint16_t);
FIELD(struct vio_description, vendor_id, uint16_t);
FIELD(struct vio_description, pci_class, unsigned);
FIELD(struct vio_description, num_queues, unsigned);
FIELD(struct vio_description, device_config_size, unsigned);
FIELD(struct vio_description, device_features[VIO_MAX_FEATURE_WORDS - 1], uint32_t);
FIELD(struct vio_state, vsip, struct vio_state_internal *);
FIELD(struct vio_state, qinfo, struct vio_queue_info *);
FIELD(struct vio_state, driver_features[3], uint32_t);
FIELD(struct vio_queue_info, pvq, vq_t *);
VALUE(VIO_MAX_FEATURE_WORDS, 4);
VALUE(VIOREF_CLASS_NOP, 0);
VALUE(VIOREF_CLASS_NOTIFY, 0x10000);
VALUE(VIOREF_CLASS_ENABLED, 0x20000);
VALUE(VIOREF_CLASS_RESET, 0x30000);
VALUE(VIOREF_CLASS_STATUS, 0x40000);
VALUE(VIOREF_CLASS_DEVCFG, 0x50000);
VALUE(VIOREF_CLASS_BUS_ERROR, 0x60000);
VALUE(VIOREF_CLASS_ERRNO, 0x70000);
VALUE(VIOREF_CLASS_MASK, 0xf0000);
VALUE(VIO_F_BIT(VIRTIO_F_VERSION_1), 1);
enum { versions = VIOVER_100 + VIOVER_LEGACY };
VALUE(VQ_INVALID_ID, 0xffffffff);
VALUE(VIRTQ_DESC_F_WRITE, 2);
VALUE(VIRTIO_DS_DRIVER_OK, 4);
VALUE(VIRTIO_DT_GPU, 16);
VALUE(PCI_CLASS_DISPLAY | PCI_SUBCLASS_DISPLAY_OTHER, 0x038000);

/* log.h, outpipe.h. */
enum { severities = QL_QVM_ERR | QL_QVM_INFO | QL_QVM_FATAL | QLS_CNF };
enum { outputs = QVM_OUTF_QVM | QVM_OUTI_QVM | OUTAL_FATAL | OUTAL_INTERNAL };

/* Functions: the documented type, then the name. */
#define DOCUMENTED(F)                                                                              \
	F(void(struct vdev_factory *, unsigned), vdev_register_factory)                            \
	F(int(char *, size_t, const vdev_t *), vdev_string)                                        \
	F(int(const vdev_t *, const char *, pthread_t *, pthread_attr_t *,                         \
	      vdev_thread_create_func_t, void *),                                                  \
	  vdev_thread_create)                                                                      \
	F(void(vdev_t *, int8_t, int, struct sigevent *, int), vdev_pulse)                         \
	F(void(unsigned, const vdev_t *, const char *, ...), vdev_logf)                            \
	F(int(cpu_t, guest_cpu_access_flags_t, block_t, unsigned, void *, size_t), guest_cpu_read) \
	F(int(cpu_t, guest_cpu_access_flags_t, block_t, unsigned, const void *, size_t),           \
	  guest_cpu_write)                                                                         \
	F(vdev_ref_status_t(int), guest_cpu_to_vrs)                                                \
	F(errno_t(guest_intr_t *, guest_intr_state_t), guest_intr_signal)                          \
	F(struct guest_timer *(const struct guest_cpu *, const vdev_t *, const void *,             \
			       uint64_t *),                                                        \
	  guest_timer_create)                                                                      \
	F(int(struct guest_timer *, const struct guest_timer_data *, uint64_t),                    \
	  guest_timer_notify)                                                                      \
	F(void(vdev_t *, uint64_t, uint64_t, guest_msi_deliver_func_t *, unsigned),                \
	  guest_msi_register)                                                                      \
	F(int(vdev_t *, guest_instr_type_t, unsigned, guest_instr_callback_func_t *),              \
	  guest_instr_register)                                                                    \
	F(void(struct guest_power_state_notify *, guest_power_state_cmd_t, unsigned, uint64_t,     \
	       uint64_t, guest_power_state_callback_func_t *, void *),                             \
	  guest_power_state_notify_register)                                                       \
	F(void(guest_termination_cause_t), guest_terminate)                                        \
	F(void(vdev_t *, enum vio_version, const struct vio_description *, struct vio_state *),    \
	  vio_init)                                                                                \
	F(int(struct vio_state *, unsigned, unsigned), vio_init_queue)                             \
	F(unsigned(struct vio_state *, unsigned, block_t, block_t, cpu_t), vio_read)               \
	F(unsigned(struct vio_state *, unsigned, block_t, block_t, cpu_t), vio_write)              \
	F(void(struct vio_state *), vio_reset)                                                     \
	F(int(struct vio_state *), vio_setup_queues)                                               \
	F(int(struct vio_state *, const char *, int), vio_ctrl_gen_fdt)                            \
	F(int(struct vio_state *, const char *), vio_ctrl_pci_bars)                                \
	F(unsigned(vq_t *, unsigned *), vq_get_from_driver)                                        \
	F(unsigned(vq_t *, unsigned, uint64_t *, uint32_t *, unsigned *), vq_desc_get)             \
	F(void(vq_t *, uint32_t, uint32_t, int), vq_put_to_driver)                                 \
	F(int(void *, size_t, int), gasp_unmap)                                                    \
	F(void(unsigned, const char *, ...), qvm_outf)

#if OLD
typedef struct guest_system *gsp_t;
typedef const struct guest_system *const_gsp_t;
#define VERSIONED(F)                                                                     \
	F(int(gsp_t, uint16_t), gasp_lock)                                               \
	F(int(gsp_t, uint16_t), gasp_unlock)                                             \
	F(unsigned(gsp_t, unsigned, const struct gasp_region *), gasp_region_set_soft)   \
	F(uint64_t(const_gsp_t, unsigned, uint64_t, uint64_t), gasp_find_free)           \
	F(uint64_t(const_gsp_t, unsigned, uint64_t, uint64_t, uint64_t, uint64_t),       \
	  gasp_find_free_range)                                                          \
	F(void *(const vdev_t *, int, uint64_t, size_t), gasp_map_vdma)                  \
	F(void *(const vdev_t *, int, uint64_t *, size_t *), gasp_map_contig)            \
	F(char *(const_gsp_t, const char *, struct guest_intr *), qvm_parse_intr)        \
	F(int(const vdev_t *, uint64_t, unsigned), guest_msi_signal)                     \
	F(void(const vdev_t *, unsigned, guest_intr_notifications_t), guest_intr_notify) \
	F(int(gsp_t, guest_power_state_cmd_t, unsigned, unsigned, uint64_t *),           \
	  guest_power_state_current)
#else
#define VERSIONED(F)                                                                               \
	F(int(uint16_t), gasp_lock)                                                                \
	F(int(uint16_t), gasp_unlock)                                                              \
	F(int(block_t, struct gasp_region *), gasp_region_info)                                    \
	F(uint64_t(uint64_t, uint64_t, gram_hint_flags_t), gram_find_free)                         \
	F(void *(vdev_t *, uint64_t, size_t, unsigned), gasp_map_vdma)                             \
	F(void(vdev_t *, uint64_t, unsigned), guest_msi_signal)                                    \
	F(void(const vdev_t *, unsigned, guest_intr_notifications_t), guest_pic_notify)            \
	F(int(guest_power_state_cmd_t, unsigned, unsigned, uint64_t *), guest_power_state_current) \
	F(void(void), guest_clock_start)                                                           \
	F(void(void), guest_clock_stop)                                                            \
	F(void(unsigned, const char *, ...), qvm_fatal)
#endif

/* Named by the documents; the arguments are ours (the headers say so). */
#define NAMED(F)                           \
	F(vdev_path)                       \
	F(guest_button_register)           \
	F(guest_intr_assign)               \
	F(guest_intr_level)                \
	F(guest_intr_num_pins)             \
	F(guest_intr_string)               \
	F(guest_write_all_ones)            \
	F(guest_write_core_file)           \
	F(guest_timer_state)               \
	F(guest_clock_start)               \
	F(guest_clock_stop)                \
	F(guest_power_state_current)       \
	F(guest_power_state_notify_create) \
	F(guest_power_state_notify_delete) \
	F(gasp_region_set)                 \
	F(gasp_region_set_soft)            \
	F(gasp_region_info)                \
	F(gasp_find_free)                  \
	F(gasp_find_free_range)            \
	F(gram_find_free)                  \
	F(gram_find_free_range)            \
	F(gram_reserve)                    \
	F(gasp_walk_init)                  \
	F(gasp_walk_next)                  \
	F(gasp_walk_count)                 \
	F(gasp_map_sys)                    \
	F(gasp_map_contig)                 \
	F(gasp_get_vaddr)                  \
	F(gasp_unmap_handle)               \
	F(qvm_parse_intr)                  \
	F(qvm_parse_num)                   \
	F(qvm_report)                      \
	F(qvm_outff)                       \
	F(wdog_bite)

#define CHECK_TYPE(type, name) SAME(__typeof__(name), type);
DOCUMENTED(CHECK_TYPE)
VERSIONED(CHECK_TYPE)

struct function {
	const char *name;
	void (*address)(void);
};

#define ENTRY_TYPED(type, name) { #name, (void (*)(void))(name) },
#define ENTRY(name)		{ #name, (void (*)(void))(name) },
static const struct function functions[] = { DOCUMENTED(ENTRY_TYPED) VERSIONED(ENTRY_TYPED)
						     NAMED(ENTRY) };

int main(void)
{
	const unsigned num = sizeof(functions) / sizeof(functions[0]);

	printf("1..%u\n", num);
	for (unsigned i = 0; i < num; i++)
		printf("%sok %u - %s\n", functions[i].address ? "" : "not ", i + 1,
		       functions[i].name);
	return 0;
}
