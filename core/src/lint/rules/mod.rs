//! All rules. One is added by its file and its line here.

use super::Rule;

macro_rules! rules {
    ($($rule:ident)*) => {
        $(mod $rule;)*
        #[cfg(test)]
        pub(super) const FILES: &[&str] = &[$(stringify!($rule)),*];
        pub(super) const ALL: &[&Rule] = &[$(&$rule::RULE),*];
    };
}

rules! {
    consistent_instruction_casing
    copy_ignored_file
    duplicate_stage_name
    expose_invalid_format
    expose_proto_casing
    from_as_casing
    from_platform_flag_const_disallowed
    invalid_base_image_platform
    invalid_default_arg_in_from
    invalid_definition_description
    json_args_recommended
    legacy_key_value_format
    maintainer_deprecated
    multiple_instructions_disallowed
    no_empty_continuation
    redundant_target_platform
    reserved_stage_name
    secrets_used_in_arg_or_env
    stage_name_casing
    undefined_arg_in_from
    undefined_var
    workdir_relative_path
}
