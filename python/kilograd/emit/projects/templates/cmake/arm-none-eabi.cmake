# Toolchain file for bare-metal Arm with GCC and newlib. Choose the core with KILOGRAD_CPU_FLAGS, for example
#   cmake -B build-m4 --toolchain cmake/arm-none-eabi.cmake -DKILOGRAD_CPU_FLAGS="-mcpu=cortex-m4 -mfloat-abi=hard -mfpu=fpv4-sp-d16"
#   cmake -B build-m0 --toolchain cmake/arm-none-eabi.cmake -DKILOGRAD_CPU_FLAGS="-mcpu=cortex-m0"
set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_SYSTEM_PROCESSOR arm)
set(CMAKE_C_COMPILER arm-none-eabi-gcc)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY) # a program would need a start-up before there is one
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES KILOGRAD_CPU_FLAGS)
set(KILOGRAD_CPU_FLAGS "-mcpu=cortex-m4" CACHE STRING "Compiler flags that name the core")
set(CMAKE_C_FLAGS_INIT "-mthumb ${KILOGRAD_CPU_FLAGS} -ffunction-sections -fdata-sections")
# The example prints by semihosting and has no vector table: your board's start-up and linker script take the place of these flags.
set(CMAKE_EXE_LINKER_FLAGS_INIT "--specs=rdimon.specs -Wl,--gc-sections")
